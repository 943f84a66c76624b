-- Counts the jobs of a queue.
--
-- KEYS: 1 queue, 2 running.
--
-- Returns {due jobs, deferred jobs, claimed jobs, time since the first job became due (ms)}. The last is negative if no
-- job is due yet, and -1 if no job waits.

local queue, running = KEYS[1], KEYS[2]
local time = redis.call('TIME')
-- With its fraction, as in the scores: a job that was enqueued in this millisecond is due.
local now = time[1] * 1000 + time[2] / 1000
local due = redis.call('ZCOUNT', queue, '-inf', now)
local first = redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')
local waited_ms = first[2] and math.floor(now - first[2]) or -1
return {due, redis.call('ZCARD', queue) - due, redis.call('ZCARD', running), waited_ms}
