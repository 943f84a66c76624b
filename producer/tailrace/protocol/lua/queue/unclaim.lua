-- Undoes a claim before an attempt has begun, if the mark still has its token: the job goes back to where it was. An
-- expired lease goes back as an expired lease, and the next claim decides whether a worker was lost. Needs ring.lua.
--
-- KEYS: 1 queue, 2 running, 3 bell, 4 mark.
-- ARGV: 1 job, 2 token, 3 reason of the claim, 4 score in the queue (Unix ms), 5 deferral (ms).
--
-- Returns 1, or 0 if another worker holds the job.

local queue, running, bell, mark = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local job, token, reason, score, deferral_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
if redis.call('GET', mark) ~= token then return 0 end
redis.call('DEL', mark)
if reason == 'retry' then
  redis.call('ZREM', running, job)
  redis.call('ZADD', queue, deferral_ms > 0 and now + deferral_ms or score, job)
else
  redis.call('ZADD', running, reason == 'worker_lost' and 1 or 0, job)
end
if deferral_ms == 0 then ring(bell) end
return 1
