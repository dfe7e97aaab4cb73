-- Drops a life that has a hole, with the batches that are known: P6, it is read again.
--
-- KEYS  p, l, d, then the value of each known batch
-- ARGV  epoch, life
-- Reply 'done' | 'refused'
local p, l, d = KEYS[1], KEYS[2], KEYS[3]
redis.call('HDEL', p, '')
if redis.call('EXISTS', p) == 0 then
  return 'done'
end
local at = redis.call('HMGET', p, 'epoch', 'life')
if at[1] ~= ARGV[1] or at[2] ~= ARGV[2] then
  return 'refused'
end
-- Somebody else's key in the place of l or d is none of ours to delete: the script fails here.
redis.call('ZCARD', l)
redis.call('HLEN', d)
for i = 1, #KEYS do
  redis.call('UNLINK', KEYS[i])
end
return 'done'
