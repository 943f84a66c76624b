-- Reserves a place among the jobs of a tenant, if its limits allow one more job. Needs index.lua.
--
-- The places are a sorted set. Its members are jobs that were not yet found released, with the score 0; reservations,
-- scored by the time at which they lapse (Unix ms); and "", whose score is the negative of the time up to which the
-- index was read (Unix ms). The index has the jobs that were enqueued without a reservation too. Only its older part is
-- read, because a younger job may still have a reservation, and would be counted twice.
--
-- KEYS: 1 places, 2 index of the tenant's jobs, 3 idempotency key, if the caller has one.
--       Further keys are the bodies and arq's marks of the tenant's jobs.
-- ARGV: 1 reservation, 2 time after which it lapses (ms), 3 how many jobs may run, 0 for no limit,
--       4 how many may wait, 0 for no limit, 5 life of the places (ms).
--
-- Returns "reserved", "known" if the idempotency key stands for a job, or the limit that is reached: "running", "queued".

local places, index, idempotency = KEYS[1], KEYS[2], KEYS[3]
local reservation, lapse_ms, life_ms = ARGV[1], tonumber(ARGV[2]), ARGV[5]
local max_running, max_queued = tonumber(ARGV[3]), tonumber(ARGV[4])
if idempotency and redis.call('EXISTS', idempotency) == 1 then return 'known' end
local time = redis.call('TIME')
-- With its fraction, as in the scores of the index.
local now = time[1] * 1000 + time[2] / 1000
redis.call('ZREMRANGEBYSCORE', places, 1, now)
-- The call is repeated if its reply is lost.
if redis.call('ZSCORE', places, reservation) then return 'reserved' end
local read_until = redis.call('ZSCORE', places, '')
local from = read_until and string.format('(%.17g', -read_until) or '-inf'
for _, job in ipairs(redis.call('ZRANGEBYSCORE', index, from, now - lapse_ms)) do
  if is_held(job) then redis.call('ZADD', places, 0, job) end
end
redis.call('ZADD', places, lapse_ms - now, '')
local running, queued = 0, 0
for _, member in ipairs(redis.call('ZRANGE', places, 0, -1)) do
  if string.sub(member, 1, 1) == '~' then
    queued = queued + 1
  elseif redis.call('EXISTS', mark_prefix .. member) == 1 then
    running = running + 1
  elseif redis.call('EXISTS', body_prefix .. member) == 1 then
    queued = queued + 1
  elseif member ~= '' then
    redis.call('ZREM', places, member)
  end
end
extend(places, life_ms)
if max_queued > 0 and queued >= max_queued then return 'queued' end
if max_running > 0 and running + queued >= max_running then return 'running' end
redis.call('ZADD', places, now + lapse_ms, reservation)
return 'reserved'
