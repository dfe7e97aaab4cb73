-- Makes a batch count: P5, exactly once into the buffer.
--
-- KEYS  p, l, b (the batch's value, written just before by a plain SET; p again when there is none)
-- ARGV  life, position, tip ('' none), next position, clock, ttl in seconds,
--       then for a batch: its id, its value's length, its member of l, its messages
-- Reply {'done'} | {'stale'} | {'lost'} | {'novalue'}
--
-- The batch counts only if life, position and tip are the ones it follows and its value is
-- there at full length. A tip that is the batch itself means that a lost reply had been a yes. What
-- does not count is removed, but never a value that l lists: an earlier try may have counted and
-- the chain may have moved on since.
local p, l, b = KEYS[1], KEYS[2], KEYS[3]
local id, length, member = ARGV[7], ARGV[8], ARGV[9]
local at = redis.call('HMGET', p, 'life', 'position', 'tip')

local function refuse(answer)
  if id and not redis.call('ZSCORE', l, member) then
    redis.call('UNLINK', b)
  end
  return {answer}
end

if not at[1] then
  return refuse('lost')
end
if at[1] ~= ARGV[1] then
  return refuse('stale')
end
if id and at[3] == id then
  return {'done'}
end
if not id and at[2] == ARGV[4] and at[3] == ARGV[3] then
  return {'done'}
end
if at[2] ~= ARGV[2] or at[3] ~= ARGV[3] then
  return refuse('stale')
end
if id then
  if redis.call('STRLEN', b) ~= tonumber(length) then
    return {'novalue'}
  end
  -- First what can fail: where somebody else's key is in the place of l, nothing is changed.
  local added = redis.call('ZADD', l, ARGV[2], member)
  redis.call('HSET', p, 'position', ARGV[4], 'tip', id, 'clock', ARGV[5])
  redis.call('HINCRBY', p, 'batches', added)
  redis.call('HINCRBY', p, 'read', ARGV[10])
  redis.call('EXPIRE', l, ARGV[6])
else
  redis.call('HSET', p, 'position', ARGV[4], 'clock', ARGV[5])
end
redis.call('EXPIRE', p, ARGV[6])
return {'done'}
