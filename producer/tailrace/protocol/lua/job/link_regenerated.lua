-- Adds a job to the list of the jobs that were regenerated from this one. A repeated call leaves it in the list once.
-- Changes nothing if the record has expired.
--
-- KEYS: 1 regenerated, 2 record.
-- ARGV: 1 id of the new job.
--
-- Returns nothing.

local left = redis.call('PTTL', KEYS[2])
if left > 0 then
  redis.call('LREM', KEYS[1], 0, ARGV[1])
  redis.call('RPUSH', KEYS[1], ARGV[1])
  redis.call('PEXPIRE', KEYS[1], left)
end
