-- Puts jobs into a queue, all or none. Changes nothing if one of them has a body already: a body exists until the job
-- is released, so this is a repeated call. Needs ring.lua and history.lua.
--
-- KEYS: 1 queue, 2 bell, 3 queues, 4 history, 5... body of each job.
-- ARGV: 1 how many jobs may wait, 0 for no limit, 2 name of the queue,
--       then for each job: id, body, life of the body (ms), deferral (ms).
--
-- Returns nil, or the number of waiting jobs if the queue has no room for all of these.

for i = 5, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 1 then return false end
end
local depth, limit = redis.call('ZCARD', KEYS[1]), tonumber(ARGV[1])
if limit > 0 and depth + #KEYS - 4 > limit then return depth end
-- It has to be there before the first claim, which may get lost.
if redis.call('EXISTS', KEYS[4]) == 0 then redis.call('SET', KEYS[4], history() .. ' 0', 'PX', 604800000) end
for i = 5, #KEYS do
  local at = 4 * i - 17
  local deferral = tonumber(ARGV[at + 3])
  redis.call('SET', KEYS[i], ARGV[at + 1], 'PX', ARGV[at + 2])
  -- One step of a double apart, so that the jobs keep their order; back from now, so that all are due.
  redis.call('ZADD', KEYS[1], now + deferral - (#KEYS - i) / 4096, ARGV[at])
  -- A deferred job is found by the slow poll.
  if deferral == 0 then ring(KEYS[2]) end
end
redis.call('ZADD', KEYS[3], now, ARGV[2])
redis.call('PEXPIRE', KEYS[3], 604800000)
return false
