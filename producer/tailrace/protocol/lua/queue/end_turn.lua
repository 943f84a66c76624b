-- Lets a conversation expire together with its newest job, which has ended. Changes nothing if it has a newer job.
-- Needs index.lua.
--
-- KEYS: 1 conversation.
-- ARGV: 1 job, 2 how long the job is kept (ms).
--
-- Returns nothing.

local conversation = KEYS[1]
local job, keep_ms = ARGV[1], ARGV[2]
if newest(conversation) == job then redis.call('PEXPIRE', conversation, keep_ms) end
