-- Puts a claimed job back to where it was, if the token is still the job's: no attempt was begun. An expired lease is
-- put back as an expired lease: the next claim decides whether a worker was lost. Needs ring.lua.
--
-- KEYS: 1 queue, 2 running, 3 bell, 4 mark.
-- ARGV: 1 job, 2 token, 3 reason of the claim, 4 score in the queue (Unix ms), 5 deferral (ms).
--
-- Returns 1, or 0 if another worker holds the job.

if redis.call('GET', KEYS[4]) ~= ARGV[2] then return 0 end
redis.call('DEL', KEYS[4])
local deferral = tonumber(ARGV[5])
if ARGV[3] == 'retry' then
  redis.call('ZREM', KEYS[2], ARGV[1])
  redis.call('ZADD', KEYS[1], deferral > 0 and now + deferral or ARGV[4], ARGV[1])
else
  redis.call('ZADD', KEYS[2], ARGV[3] == 'worker_lost' and 1 or 0, ARGV[1])
end
if deferral == 0 then ring(KEYS[3]) end
return 1
