-- Puts jobs of one tenant into a queue and into the index of the tenant's jobs, all or none. Changes nothing if one of
-- them has a body already: a body exists until the job is released, so this is a repeated call. Needs ring.lua,
-- history.lua and index.lua.
--
-- A job of a conversation goes in only if no other job of the conversation is active. Only the newest one can be, and
-- it is active while it is held. A job that has ended is held until it is released, so the caller looks at its stream,
-- and calls again with the id of a job that is over. If another job is the newest by then, that one is active.
--
-- KEYS: 1 queue, 2 bell, 3 queues, 4 history, 5 index, 6... body of each job. For a single job of a conversation, then
--       the conversation, and the idempotency key if the caller has one.
--       Further keys are the body and arq's mark of the conversation's newest job.
-- ARGV: 1 how many jobs may wait, 0 for no limit, 2 name of the queue, 3 life of the queues and of the history (ms),
--       4 how many jobs the index keeps, 5 how many a conversation keeps,
--       6 the job of the conversation that is over, "" if none is known,
--       then for each job: id, body, life of the body (ms), deferral (ms).
--
-- Returns one of
--   {"queued"}
--   {"full", number of waiting jobs} if the queue has no room for all of these
--   {"busy", job} if this job of the conversation is active
--   {"forgotten"} if the idempotency key does not stand for the job any more

local queue, bell, queues, history_key, index = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local limit, name, kept_ms = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local index_capacity, conversation_capacity, over = ARGV[4], ARGV[5], ARGV[6]
local jobs, first, life_ms = (#ARGV - 6) / 4, ARGV[7], ARGV[9]
local conversation, idempotency = KEYS[6 + jobs], KEYS[7 + jobs]
for i = 1, jobs do
  if redis.call('EXISTS', KEYS[5 + i]) == 1 then return {'queued'} end
end
local turn_at, active = now, nil
if conversation then
  if idempotency and redis.call('GET', idempotency) ~= first then return {'forgotten'} end
  local last, last_at = newest(conversation)
  if last and is_held(last) then active = last end
  if active == first then return {'queued'} end
  -- The server's clock may have been set back.
  if last then turn_at = math.max(now, last_at + 1) end
end
local depth = redis.call('ZCARD', queue)
-- The job that this one interrupts leaves its place.
if active and redis.call('ZSCORE', queue, active) then depth = depth - 1 end
if limit > 0 and depth + jobs > limit then return {'full', depth} end
if active and active ~= over then return {'busy', active} end
-- The history has to be known before the first claim, which Redis may lose.
if redis.call('EXISTS', history_key) == 0 then redis.call('SET', history_key, history() .. ' 0', 'PX', kept_ms) end
for i = 1, jobs do
  local at = 4 * i + 3
  local job, body, deferral_ms = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 3])
  -- The scores differ by the smallest step of a double, so that the jobs keep their order. None is above the due time,
  -- so that all become due together.
  local enqueued_at = now - (jobs - i) / 4096
  redis.call('SET', KEYS[5 + i], body, 'PX', ARGV[at + 2])
  redis.call('ZADD', queue, enqueued_at + deferral_ms, job)
  redis.call('ZADD', index, enqueued_at, job)
  -- No ring for a deferred job: each worker polls once a second, and so learns when the job is due.
  if deferral_ms == 0 then ring(bell) end
end
redis.call('ZREMRANGEBYRANK', index, 0, -1 - index_capacity)
extend(index, life_ms)
if conversation then
  redis.call('ZADD', conversation, turn_at, first)
  redis.call('ZREMRANGEBYRANK', conversation, 0, -1 - conversation_capacity)
  extend(conversation, life_ms)
end
redis.call('ZADD', queues, now, name)
redis.call('PEXPIRE', queues, kept_ms)
return {'queued'}
