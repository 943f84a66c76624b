-- Adds a job to the list of the jobs that were regenerated from this one. A repeated call does not add it twice.
-- Changes nothing if the record has expired.
--
-- KEYS: 1 regenerated, 2 record.
-- ARGV: 1 id of the new job.
--
-- Returns nothing.

local regenerated, record = KEYS[1], KEYS[2]
local job = ARGV[1]
local left_ms = redis.call('PTTL', record)
if left_ms > 0 then
  redis.call('LREM', regenerated, 0, job)
  redis.call('RPUSH', regenerated, job)
  redis.call('PEXPIRE', regenerated, left_ms)
end
