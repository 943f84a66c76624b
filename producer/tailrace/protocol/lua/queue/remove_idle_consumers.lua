-- Removes the consumers of a group that hold nothing and have not asked for a while. In one step, because a consumer
-- that got an entry in between would take that entry with it.
--
-- KEYS: 1 endings.
-- ARGV: 1 group, 2 idle time from which on a consumer counts as gone (ms).
--
-- Returns nothing.

local endings = KEYS[1]
local group, idle_ms = ARGV[1], tonumber(ARGV[2])
if redis.call('EXISTS', endings) == 0 then return end
for _, fields in ipairs(redis.call('XINFO', 'CONSUMERS', endings, group)) do
  local consumer = {}
  for i = 1, #fields, 2 do consumer[fields[i]] = fields[i + 1] end
  if consumer.pending == 0 and consumer.idle >= idle_ms then
    redis.call('XGROUP', 'DELCONSUMER', endings, group, consumer.name)
  end
end
