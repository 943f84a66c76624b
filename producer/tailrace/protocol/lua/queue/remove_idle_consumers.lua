-- Removes the consumers of a group that hold no entries and have not asked for any for a while. One script does it,
-- because a consumer that got an entry between the check and its removal would be removed together with that entry.
--
-- KEYS: 1 endings.
-- ARGV: 1 group, 2 idle time after which a consumer is removed (ms).
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
