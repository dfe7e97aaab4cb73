-- Records what is settled: P7, exactly the chunks that are done with.
--
-- KEYS  p, l, d, then the value of each batch
-- ARGV  epoch, ttl in seconds, the life's sums of what is settled (delivered, duplicates, dead
--       letters, dropped, skipped), then for each batch: id, member of l, marks ('': nothing left)
-- Reply 'done' | 'refused'
--
-- Touches only batches that l lists, moves the counters by what was really added or removed, and
-- may be repeated. Begins with a write that a full Redis allows: a full Redis must drain. What can
-- fail comes first: where somebody else's key is in the place of l or d, nothing is changed.
--
-- Sums, not differences: a repeat after a lost reply says the same. They only grow, so one that
-- says less was overtaken by what its sender has told since. One that says more and names what l
-- does not list knows nothing of a cleaning: its marks would be lost, and its sums too high.
local p, l, d = KEYS[1], KEYS[2], KEYS[3]
redis.call('HDEL', p, '')
redis.call('HDEL', d, '')
redis.call('ZCARD', l)
if redis.call('HGET', p, 'epoch') ~= ARGV[1] then
  return 'refused'
end
local sums = {'delivered', 'duplicates', 'dead_letters', 'dropped', 'skipped'}
local more = 0
for i, sum in ipairs(redis.call('HMGET', p, unpack(sums))) do
  more = more + ARGV[2 + i] - (tonumber(sum) or 0)
end
if more < 0 then
  return 'refused'
end
for i = 4, #KEYS do
  if more > 0 and not redis.call('ZSCORE', l, ARGV[9 + (i - 4) * 3]) then
    return 'refused'
  end
end
local batches, marked = 0, 0
for i = 4, #KEYS do
  local at = 8 + (i - 4) * 3
  local id, member, marks = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  if redis.call('ZSCORE', l, member) then
    if marks == '' then
      batches = batches - redis.call('ZREM', l, member)
      marked = marked - redis.call('HDEL', d, id)
      redis.call('UNLINK', KEYS[i])
    else
      marked = marked + redis.call('HSET', d, id, marks)
    end
  end
end
for i, sum in ipairs(sums) do
  redis.call('HSET', p, sum, ARGV[2 + i])
end
redis.call('HINCRBY', p, 'batches', batches)
redis.call('HINCRBY', p, 'marked', marked)
redis.call('EXPIRE', p, ARGV[2])
redis.call('EXPIRE', l, ARGV[2])
redis.call('EXPIRE', d, ARGV[2])
return 'done'
