-- Begins an attempt: appends `started`, unless the job is over or the attempt comes late. If the job has to end instead
-- (it was cancelled, it waited too long, too many workers were lost), appends that ending. Needs history.lua and
-- last_entry.lua.
--
-- KEYS: 1 events, 2 record, 3 cancel, 4 regenerated.
-- ARGV: 1 attempt, 2 life of the keys (ms), 3 how long the keys are kept after the ending (ms), 4 worker,
--       5 reason for another attempt: "worker_lost", "worker_shutdown" or "retry",
--       6 how many lost workers fail the job,
--       7 "1" if the attempt continues the text so far, 8 provider and 9 model, "" for those of the record,
--       10 the last SEQ that the worker knows of, 11 token of this start,
--       12 how many attempt numbers are skipped in another history.
--       Only if the job's body carries its request, which creates the stream: 13 request (JSON), 14 provider, 15 model,
--       16 queue.
--
-- Returns one of
--   {"began", id of `started`, its fields, now (Unix ms), all fields of the record}
--   {"ended", type of the ending, tenant}
--   {"behind", the attempt above which the next one has to be}
--   {"gone"} if there is no stream

local attempt, reason, request = tonumber(ARGV[1]), ARGV[5], ARGV[13]
if not last then
  if not request then return {'gone'} end
  redis.call('HSET', record, 'request', request, 'provider', ARGV[14], 'model', ARGV[15], 'tenant', 'default',
             'queue', ARGV[16], 'queued_at', now, 'history', history())
  redis.call('XADD', events, '0-1', 'type', 'queued', 'at', now, 'queue', ARGV[16])
  last = {attempt = 0, seq = 1}
end
local stored = redis.call('HGETALL', record)
local known = {}
for i = 1, #stored, 2 do known[stored[i]] = stored[i + 1] end
local tenant = known.tenant or ''
local function over(...)
  append(attempt, {...})
  live(ARGV[3])
  return {'ended', (select(2, ...)), tenant}
end
if last.ended then return {'ended', last.type, tenant} end
if is_of_another_history() then
  -- Of this number another start may have been lost, whose entries readers and its worker still hold.
  redis.call('HSET', record, 'history', history())
  return {'behind', last.attempt + ARGV[12]}
end
if attempt <= last.attempt or last.seq < tonumber(ARGV[10]) then return {'behind', last.attempt} end
local wanted = redis.call('GET', cancel)
if wanted then return over('type', 'cancelled', 'at', now, 'reason', wanted) end
if last.type == 'queued' and now > (tonumber(known.expires_at or '') or now) then
  return over('type', 'failed', 'at', now, 'code', 'expired_in_queue', 'retryable', '1', 'message',
              'The job waited in its queue for longer than it was allowed to.')
end
if reason == 'worker_lost' and last.attempt > 0 then
  -- Each attempt's first entry is its `started`, which says whether the one before was lost: the stream is the count.
  local lost, from = 1, '1-0'
  while true do
    local entry = redis.call('XRANGE', events, from, '+', 'COUNT', 1)[1]
    if not entry then break end
    for i = 1, #entry[2], 2 do
      if entry[2][i] == 'reason' and entry[2][i + 1] == 'worker_lost' then lost = lost + 1 end
    end
    from = string.format('%.0f-0', tonumber(string.match(entry[1], '^(%d+)')) + 1)
  end
  if lost >= tonumber(ARGV[6]) then
    return over('type', 'failed', 'at', now, 'code', 'worker_lost', 'retryable', '1', 'message',
                lost .. ' workers were lost while they ran this job.')
  end
end
local fields = {'type', 'started', 'at', string.format('%.0f', now), 'attempt', ARGV[1],
                'provider', ARGV[8] ~= '' and ARGV[8] or known.provider or '',
                'model', ARGV[9] ~= '' and ARGV[9] or known.model or '', 'worker', ARGV[4], 'token', ARGV[11]}
if attempt > 1 then
  table.insert(fields, 'reason')
  table.insert(fields, reason)
end
if ARGV[7] == '1' then
  table.insert(fields, 'continues')
  table.insert(fields, '1')
end
local id = append(attempt, fields)
live(ARGV[2])
return {'began', id, fields, now, stored}
