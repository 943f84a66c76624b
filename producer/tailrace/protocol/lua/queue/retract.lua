-- Takes an idempotency key back whose job was refused, unless another call with the key has enqueued the job meanwhile.
--
-- KEYS: 1 idempotency key, 2 body, 3 conversation.
-- ARGV: 1 job.
--
-- Returns 1 if the job was never enqueued, and never will be, or 0 if it was enqueued.

local key, body, conversation = KEYS[1], KEYS[2], KEYS[3]
local job = ARGV[1]
if redis.call('EXISTS', body) == 1 or redis.call('ZSCORE', conversation, job) then return 0 end
if redis.call('GET', key) == job then redis.call('DEL', key) end
return 1
