-- Replaces sparse batches by their carry: P7, only if nothing was settled in them meanwhile.
--
-- KEYS  p, l, d, the carry's value (written just before by a plain SET), then each batch's value
-- ARGV  epoch, ttl in seconds, the carry's length, member and score, then for each batch: id,
--       member, the marks that it must still have ('' none)
-- Reply 'done' | 'refused' | 'novalue'
--
-- After a lost reply l says which it was: a carry that is listed had been made. Does not begin with
-- an allowed write: cleaning needs memory, a full Redis refuses it.
local p, l, d, b = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local length, carry, score = tonumber(ARGV[3]), ARGV[4], ARGV[5]
-- Somebody else's key in the place of l or d: the next try has another carry, so this one goes.
for _, found in ipairs({redis.pcall('ZCARD', l), redis.pcall('HLEN', d)}) do
  if type(found) == 'table' then
    redis.call('UNLINK', b)
    return found
  end
end
if redis.call('ZSCORE', l, carry) then
  return 'done'
end
local function refuse()
  redis.call('UNLINK', b)
  return 'refused'
end
if redis.call('HGET', p, 'epoch') ~= ARGV[1] then
  return refuse()
end
for i = 5, #KEYS do
  local at = 6 + (i - 5) * 3
  local marks = redis.call('HGET', d, ARGV[at]) or ''
  if not redis.call('ZSCORE', l, ARGV[at + 1]) or marks ~= ARGV[at + 2] then
    return refuse()
  end
end
if redis.call('STRLEN', b) ~= length then
  return 'novalue'
end
local batches, marked = redis.call('ZADD', l, score, carry), 0
for i = 5, #KEYS do
  local at = 6 + (i - 5) * 3
  batches = batches - redis.call('ZREM', l, ARGV[at + 1])
  marked = marked - redis.call('HDEL', d, ARGV[at])
  redis.call('UNLINK', KEYS[i])
end
redis.call('HINCRBY', p, 'batches', batches)
redis.call('HINCRBY', p, 'marked', marked)
redis.call('EXPIRE', p, ARGV[2])
redis.call('EXPIRE', l, ARGV[2])
return 'done'
