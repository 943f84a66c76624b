-- Writes a claim again, because Redis may have lost it, and puts the job back into its indexes. Changes nothing if
-- another worker holds the job. Needs index.lua.
--
-- KEYS: 1 queue, 2 running, 3 mark, 4 body, 5 counter of tries, 6... indexes of the job.
-- ARGV: 1 job, 2 token, 3 lease (ms), 4 life of the mark (ms), 5 attempt, 6 body, "" if it is unknown,
--       7 life of the body (ms), 8 when the job was enqueued (Unix ms).
--
-- Returns 1, or 0 if another worker holds the job.

local queue, running, mark, body_key, tries_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local job, token, lease_ms, mark_life_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local attempt, body, body_life_ms, enqueued_at = ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local holder = redis.call('GET', mark)
if holder and holder ~= token then return 0 end
local time = redis.call('TIME')
redis.call('SET', mark, token, 'PX', mark_life_ms)
redis.call('ZREM', queue, job)
redis.call('ZADD', running, time[1] * 1000 + math.floor(time[2] / 1000) + lease_ms, job)
if body ~= '' then redis.call('SET', body_key, body, 'NX', 'PX', body_life_ms) end
local tries = tonumber(redis.call('GET', tries_key) or 0) or 0
if tries < tonumber(attempt) then redis.call('SET', tries_key, attempt, 'PX', body_life_ms) end
for i = 6, #KEYS do
  redis.call('ZADD', KEYS[i], 'NX', enqueued_at, job)
  extend(KEYS[i], body_life_ms)
end
return 1
