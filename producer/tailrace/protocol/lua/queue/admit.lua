-- Decides which job an idempotency key stands for: the first one that came with it.
--
-- KEYS: 1 idempotency key, 2 queue.
-- ARGV: 1 id of the job, 2 life of the key (ms), 3 how many jobs may wait, 0 for no limit.
--
-- Returns the id of the first job under the key, or the number of waiting jobs if the key is new and the queue is full.

local first = redis.call('GET', KEYS[1])
if first then return first end
local depth, limit = redis.call('ZCARD', KEYS[2]), tonumber(ARGV[3])
if limit > 0 and depth >= limit then return depth end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]
