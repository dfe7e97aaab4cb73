-- Begins a life: P6, only where none is, or in place of exactly the one that is named.
--
-- KEYS  p, l, d
-- ARGV  new life, position, the life it replaces ('' none), cluster, topic, group, ttl in seconds
-- Reply {'new' | 'found', HGETALL p}
--
-- A full Redis lets it pass, since its first write frees memory: a life without batches is small.
-- The batches of a replaced life are left to their time to live: their ids are never used again.
local p, l, d = KEYS[1], KEYS[2], KEYS[3]
local life = redis.call('HGET', p, 'life')
-- Our own life, begun by an earlier try whose reply was lost, is found like any other.
if life and (life == ARGV[1] or life ~= ARGV[3]) then
  return {'found', redis.call('HGETALL', p)}
end
-- Somebody else's key in the place of l or d is none of ours to delete: the script fails here.
redis.call('ZCARD', l)
redis.call('HLEN', d)
redis.call('UNLINK', p, l, d)
redis.call('HSET', p, 'life', ARGV[1], 'position', ARGV[2], 'tip', '', 'batches', 0, 'marked', 0,
  'cluster', ARGV[4], 'topic', ARGV[5], 'group', ARGV[6])
redis.call('EXPIRE', p, ARGV[7])
return {'new', redis.call('HGETALL', p)}
