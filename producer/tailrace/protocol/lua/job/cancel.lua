-- Requests the cancel of a job. If no attempt has begun, appends `cancelled` at once. Needs history.lua and
-- last_entry.lua.
--
-- The stream's expiry after that ending is set by the caller, with the announcement. If the caller dies before it, a
-- worker finds the job when it is due, which may be after that expiry, and announces the ending.
--
-- KEYS: 1 events, 2 record, 3 cancel, 4 regenerated.
-- ARGV: 1 reason, 2 life of the cancel key if the stream never expires (ms).
--
-- Returns one of
--   {"cancelled", "cancelled", tenant, queue, now (Unix ms)}
--   {"requested", "", tenant, queue, now} if a worker runs the job
--   {"ended", type of the ending, tenant, queue, now} if the job was over already
--   {"gone"} if there is no stream

local reason, life_ms = ARGV[1], ARGV[2]
if not last then return {'gone'} end
local known = redis.call('HMGET', record, 'tenant', 'queue')
local tenant, queue = known[1] or '', known[2] or ''
if last.ended then return {'ended', last.type, tenant, queue, now} end
local left_ms = redis.call('PTTL', events)
redis.call('SET', cancel, reason, 'PX', left_ms > 0 and left_ms or life_ms)
if last.type ~= 'queued' then return {'requested', '', tenant, queue, now} end
append_from_outside({'type', 'cancelled', 'at', now, 'reason', reason})
return {'cancelled', 'cancelled', tenant, queue, now}
