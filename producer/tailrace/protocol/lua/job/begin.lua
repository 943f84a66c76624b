-- Begins an attempt: appends `started`, unless the job is over, or a later attempt has begun already. If the job has to
-- end instead (it was cancelled, it waited too long, too many workers were lost), appends that ending.
-- Needs history.lua and last_entry.lua.
--
-- KEYS: 1 events, 2 record, 3 cancel, 4 regenerated.
-- ARGV: 1 attempt, 2 life of the keys (ms), 3 how long the keys are kept after the ending (ms), 4 worker,
--       5 reason for another attempt: "worker_lost", "worker_shutdown" or "retry",
--       6 number of lost workers from which on the job fails,
--       7 "1" if the attempt continues the text so far; "ask" if the worker can read that text and continue it,
--       8 provider and 9 model, "" for those of the record,
--       10 the last SEQ that the worker knows of; an attempt that continues needs it to be the stream's last,
--       11 token of this start,
--       12 how many attempt numbers are skipped in another history.
--       Only if the job's body carries its request, from which a missing stream is created: 13 request (JSON),
--       14 provider, 15 model, 16 queue.
--
-- Returns one of
--   {"began", id of `started`, its fields, now (Unix ms), all fields of the record}
--   {"ended", type of the ending, tenant}
--   {"behind", the attempt above which the next one has to be}
--   {"broke_off", request (JSON)} if the worker asked, the request says that an answer is continued, and nothing of the
--                                 last attempt can be lost: nothing has begun yet
--   {"gone"} if there is no stream

local attempt, life_ms, keep_ms, worker, reason = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local max_lost, continues, provider, model = tonumber(ARGV[6]), ARGV[7], ARGV[8], ARGV[9]
local known_seq, token, attempts_skipped = tonumber(ARGV[10]), ARGV[11], ARGV[12]
local carried_request, carried_provider, carried_model, carried_queue = ARGV[13], ARGV[14], ARGV[15], ARGV[16]
if not last then
  if not carried_request then return {'gone'} end
  redis.call('HSET', record, 'request', carried_request, 'provider', carried_provider, 'model', carried_model,
             'tenant', 'default', 'queue', carried_queue, 'queued_at', now, 'history', history())
  redis.call('XADD', events, '0-1', 'type', 'queued', 'at', now, 'queue', carried_queue)
  last = {attempt = 0, seq = 1}
end
local stored = redis.call('HGETALL', record)
local known = {}
for i = 1, #stored, 2 do known[stored[i]] = stored[i + 1] end
local tenant = known.tenant or ''
local function finish(ending, ...)
  append(attempt, {'type', ending, 'at', now, ...})
  expire(keep_ms)
  return {'ended', ending, tenant}
end
if last.ended then return {'ended', last.type, tenant} end
if is_of_another_history() then
  -- Redis may have lost another start with the same number. That worker and the readers still hold its entries.
  redis.call('HSET', record, 'history', history(), 'lost_in', string.format('%.0f', last.attempt))
  return {'behind', last.attempt + attempts_skipped}
end
if last.seq < known_seq and known.request then
  redis.call('HSET', record, 'lost_in', string.format('%.0f', last.attempt))
end
-- If the stream is longer than what the worker has read of it, another worker that was thought to be lost still writes.
if attempt <= last.attempt or last.seq < known_seq or (continues == '1' and last.seq > known_seq) then
  return {'behind', last.attempt}
end
local cancel_reason = redis.call('GET', cancel)
if cancel_reason then return finish('cancelled', 'reason', cancel_reason) end
if last.type == 'queued' and now > (tonumber(known.expires_at or '') or now) then
  return finish('failed', 'code', 'expired_in_queue', 'retryable', '1', 'message',
                'The job waited in its queue for longer than it was allowed to.')
end
if reason == 'worker_lost' and last.attempt > 0 then
  -- Count the lost workers in the stream: each attempt begins with a `started`, whose `reason` says whether the attempt
  -- before it was lost.
  local lost, from = 1, '1-0'
  while true do
    local entry = redis.call('XRANGE', events, from, '+', 'COUNT', 1)[1]
    if not entry then break end
    for i = 1, #entry[2], 2 do
      if entry[2][i] == 'reason' and entry[2][i + 1] == 'worker_lost' then lost = lost + 1 end
    end
    from = string.format('%.0f-0', tonumber(string.match(entry[1], '^(%d+)')) + 1)
  end
  if lost >= max_lost then
    return finish('failed', 'code', 'worker_lost', 'retryable', '1', 'message',
                  lost .. ' workers were lost while they ran this job.')
  end
end
if continues == 'ask' and last.attempt > 0 then
  -- Redis may have lost the end of the attempt `lost_in`, so that readers have more of its text than the stream.
  local is_whole = known.history and known.history ~= unknown_history and tonumber(known.lost_in or '') ~= last.attempt
  -- In a text of the JSON the quotes would be escaped. A nested object may look like this, so the worker checks it.
  local json = known.request or ''
  local says_continue = string.find(json, '"on_interrupt":"continue"', 1, true) or
                        string.find(json, '"on_interrupt": "continue"', 1, true)
  if is_whole and says_continue then return {'broke_off', json} end
end
local fields = {'type', 'started', 'at', string.format('%.0f', now), 'attempt', ARGV[1],
                'provider', provider ~= '' and provider or known.provider or '',
                'model', model ~= '' and model or known.model or '', 'worker', worker, 'token', token}
if attempt > 1 then
  table.insert(fields, 'reason')
  table.insert(fields, reason)
end
if continues == '1' then
  table.insert(fields, 'continues')
  table.insert(fields, '1')
end
local id = append(attempt, fields)
expire(life_ms)
return {'began', id, fields, now, stored}
