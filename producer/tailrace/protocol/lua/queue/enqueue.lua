-- Puts jobs into a queue, all or none. Changes nothing if one of them has a body already: a body exists until the job
-- is released, so this is a repeated call. Needs ring.lua and history.lua.
--
-- KEYS: 1 queue, 2 bell, 3 queues, 4 history, 5... body of each job.
-- ARGV: 1 how many jobs may wait, 0 for no limit, 2 name of the queue, 3 life of the queues and of the history (ms),
--       then for each job: id, body, life of the body (ms), deferral (ms).
--
-- Returns nil, or the number of waiting jobs if the queue has no room for all of these.

local queue, bell, queues, history_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local limit, name, kept_ms = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local jobs = #KEYS - 4
for i = 1, jobs do
  if redis.call('EXISTS', KEYS[4 + i]) == 1 then return false end
end
local depth = redis.call('ZCARD', queue)
if limit > 0 and depth + jobs > limit then return depth end
-- The history has to be known before the first claim, which Redis may lose.
if redis.call('EXISTS', history_key) == 0 then redis.call('SET', history_key, history() .. ' 0', 'PX', kept_ms) end
for i = 1, jobs do
  local at = 4 * i
  local job, body, life_ms, deferral_ms = ARGV[at], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3])
  redis.call('SET', KEYS[4 + i], body, 'PX', life_ms)
  -- The scores differ by the smallest step of a double, so that the jobs keep their order. None is above the due time,
  -- so that all become due together.
  redis.call('ZADD', queue, now + deferral_ms - (jobs - i) / 4096, job)
  -- No ring for a deferred job: each worker polls once a second, and so learns when the job is due.
  if deferral_ms == 0 then ring(bell) end
end
redis.call('ZADD', queues, now, name)
redis.call('PEXPIRE', queues, kept_ms)
return false
