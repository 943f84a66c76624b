-- Creates a job: its record, and its stream with the entry `queued`. A repeated call changes nothing. Needs
-- history.lua.
--
-- KEYS: 1 events, 2 record.
-- ARGV: 1 life of the keys (ms), 2 queue, 3 request (JSON), 4 how long the job may wait for a worker (ms),
--       5 conversation, "" if it belongs to none, 6... further fields of the record, names and values alternating.
--
-- Returns "queued"; "begun" if the stream has more entries than `queued`; "conflict" if the job exists with another
-- request, or in another conversation.

local events, record = KEYS[1], KEYS[2]
local life_ms, queue, request, wait_ms, conversation = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local known, known_conversation = unpack(redis.call('HMGET', record, 'request', 'conversation'))
if known then
  if known ~= request or (known_conversation or '') ~= conversation then return 'conflict' end
else
  redis.call('HSET', record, 'queued_at', now, 'expires_at', now + wait_ms, 'queue', queue, 'request', request,
             'history', history(), unpack(ARGV, 6))
  if conversation ~= '' then redis.call('HSET', record, 'conversation', conversation) end
  redis.call('XADD', events, '0-1', 'type', 'queued', 'at', now, 'queue', queue)
  for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, life_ms) end
end
if redis.call('XLEN', events) > 1 then return 'begun' end
return 'queued'
