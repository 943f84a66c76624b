-- Writes a claim again that Redis may have lost, unless another worker holds the job.
--
-- KEYS: 1 queue, 2 running, 3 mark, 4 body, 5 counter of tries.
-- ARGV: 1 job, 2 token, 3 lease (ms), 4 life of the mark (ms), 5 attempt, 6 body, "" if it is unknown,
--       7 life of the body (ms).
--
-- Returns 1, or 0 if another worker holds the job.

local holder = redis.call('GET', KEYS[3])
if holder and holder ~= ARGV[2] then return 0 end
local time = redis.call('TIME')
redis.call('SET', KEYS[3], ARGV[2], 'PX', ARGV[4])
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[2], time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[3], ARGV[1])
if ARGV[6] ~= '' then redis.call('SET', KEYS[4], ARGV[6], 'NX', 'PX', ARGV[7]) end
local tries = tonumber(redis.call('GET', KEYS[5]) or 0) or 0
if tries < tonumber(ARGV[5]) then redis.call('SET', KEYS[5], ARGV[5], 'PX', ARGV[7]) end
return 1
