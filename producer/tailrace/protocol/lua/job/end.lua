-- Appends an ending to a job that the caller does not run, unless the job has one. Needs history.lua and
-- last_entry.lua.
--
-- KEYS: 1 events, 2 record, 3 cancel, 4 regenerated.
-- ARGV: 1 how long the keys are kept (ms), 2 queue to create a missing stream with, or "" to create none,
--       3... fields of the ending, names and values alternating; the first is `type`.
--
-- Returns {"ended", type of the ending, tenant}, or {"gone"} if there is no stream and none is created.

local keep_ms, queue, ending = ARGV[1], ARGV[2], ARGV[4]
if not last then
  if queue == '' then return {'gone'} end
  redis.call('HSET', record, 'request', 'null', 'tenant', 'default', 'queue', queue, 'queued_at', now)
  redis.call('XADD', events, '0-1', 'type', 'queued', 'at', now, 'queue', queue)
  last = {attempt = 0, seq = 1}
end
local tenant = redis.call('HGET', record, 'tenant') or ''
if last.ended then return {'ended', last.type, tenant} end
append_from_outside({unpack(ARGV, 3)})
expire(keep_ms)
return {'ended', ending, tenant}
