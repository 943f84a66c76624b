-- Gives a reserved place to the job that was enqueued, or gives it back.
--
-- KEYS: 1 places.
-- ARGV: 1 reservation, 2 job, "" if none was enqueued.
--
-- Returns nothing.

local places = KEYS[1]
local reservation, job = ARGV[1], ARGV[2]
redis.call('ZREM', places, reservation)
if job ~= '' then redis.call('ZADD', places, 0, job) end
