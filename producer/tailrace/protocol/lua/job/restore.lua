-- Creates the record and the stream of a job that Redis has lost, the same bytes as before, up to the entry `queued`.
-- Changes nothing if the stream exists.
--
-- KEYS: 1 events, 2 record.
-- ARGV: 1 life of the keys (ms), 2 time of the enqueue (Unix ms), 3 queue, 4... fields of the record, name and value in
--       turn.
--
-- Returns nothing.

if redis.call('EXISTS', KEYS[1]) == 1 then return end
redis.call('HSET', KEYS[2], unpack(ARGV, 4))
redis.call('XADD', KEYS[1], '0-1', 'type', 'queued', 'at', ARGV[2], 'queue', ARGV[3])
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[1]) end
