-- Binds an idempotency key to the first job that was enqueued under it.
--
-- KEYS: 1 idempotency key, 2 queue.
-- ARGV: 1 id of the job, 2 life of the key (ms), 3 how many jobs may wait, 0 for no limit.
--
-- Returns the id of the first job under the key, or the number of waiting jobs if the key is new and the queue is full.

local key, queue = KEYS[1], KEYS[2]
local job, life_ms, limit = ARGV[1], ARGV[2], tonumber(ARGV[3])
local first = redis.call('GET', key)
if first then return first end
local depth = redis.call('ZCARD', queue)
if limit > 0 and depth >= limit then return depth end
redis.call('SET', key, job, 'PX', life_ms)
return job
