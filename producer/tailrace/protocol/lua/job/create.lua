-- Creates a job: its record, and its stream with the entry `queued`. A repeated call changes nothing. Needs
-- history.lua.
--
-- KEYS: 1 events, 2 record.
-- ARGV: 1 life of the keys (ms), 2 queue, 3 request (JSON), 4 how long the job may wait for a worker (ms),
--       5 conversation, "" if it belongs to none, 6 front (JSON), "" if there is none,
--       7... further fields of the record, names and values alternating.
--
-- Returns "queued"; "begun" if the stream has more entries than `queued`; "conflict" if the job exists with another
-- request, in another conversation, or with another `front`.

local events, record = KEYS[1], KEYS[2]
local life_ms, queue, request, wait_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local conversation, front = ARGV[5], ARGV[6]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local known, known_conversation, known_front = unpack(redis.call('HMGET', record, 'request', 'conversation', 'front'))
if known then
  local is_same = known == request and (known_conversation or '') == conversation and (known_front or '') == front
  if not is_same then return 'conflict' end
else
  redis.call('HSET', record, 'queued_at', now, 'expires_at', now + wait_ms, 'queue', queue, 'request', request,
             'history', history(), unpack(ARGV, 7))
  if conversation ~= '' then redis.call('HSET', record, 'conversation', conversation) end
  if front ~= '' then redis.call('HSET', record, 'front', front) end
  redis.call('XADD', events, '0-1', 'type', 'queued', 'at', now, 'queue', queue)
  for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, life_ms) end
end
if redis.call('XLEN', events) > 1 then return 'begun' end
return 'queued'
