-- Creates the record of a job that Redis has lost, and its stream with the entry `queued`, both with the same bytes as
-- before. Changes nothing if the stream exists.
--
-- KEYS: 1 events, 2 record.
-- ARGV: 1 life of the keys (ms), 2 time of the enqueue (Unix ms), 3 queue,
--       4... fields of the record, names and values alternating.
--
-- Returns nothing.

local events, record = KEYS[1], KEYS[2]
local life_ms, queued_at, queue = ARGV[1], ARGV[2], ARGV[3]
if redis.call('EXISTS', events) == 1 then return end
redis.call('HSET', record, unpack(ARGV, 4))
redis.call('XADD', events, '0-1', 'type', 'queued', 'at', queued_at, 'queue', queue)
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, life_ms) end
