-- Creates a job: its record, and its stream with the entry `queued`. A repeated call changes nothing.
--
-- KEYS: 1 events, 2 record.
-- ARGV: 1 life of the keys (ms), 2 queue, 3 request (JSON), 4 how long the job may wait for a worker (ms),
--       5... further fields of the record, name and value in turn.
--
-- Returns "queued"; "begun" if the stream has more entries than `queued`; "conflict" if the job exists with another
-- request.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local known = redis.call('HGET', KEYS[2], 'request')
if known then
  if known ~= ARGV[3] then return 'conflict' end
else
  redis.call('HSET', KEYS[2], 'queued_at', now, 'expires_at', now + ARGV[4], 'queue', ARGV[2], 'request', ARGV[3],
             'history', history(), unpack(ARGV, 5))
  redis.call('XADD', KEYS[1], '0-1', 'type', 'queued', 'at', now, 'queue', ARGV[2])
  for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[1]) end
end
if redis.call('XLEN', KEYS[1]) > 1 then return 'begun' end
return 'queued'
