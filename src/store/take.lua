-- Takes a shard: writes a fresh epoch and reads everything, in one step.
--
-- KEYS  p, l, d
-- ARGV  epoch, ttl in seconds
-- Reply {} where there is no life, else {HGETALL p, ZRANGE l WITHSCORES, HGETALL d}
--
-- Begins with a write that a full Redis allows; after it the rest of the script passes, too.
local p, l, d = KEYS[1], KEYS[2], KEYS[3]
redis.call('HDEL', p, '')
if redis.call('EXISTS', p) == 0 then
  return {}
end
redis.call('HSET', p, 'epoch', ARGV[1])
redis.call('EXPIRE', p, ARGV[2])
redis.call('EXPIRE', l, ARGV[2])
redis.call('EXPIRE', d, ARGV[2])
return {
  redis.call('HGETALL', p),
  redis.call('ZRANGE', l, 0, -1, 'WITHSCORES'),
  redis.call('HGETALL', d),
}
