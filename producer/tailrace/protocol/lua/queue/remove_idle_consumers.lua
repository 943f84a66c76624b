-- Removes the consumers of a group that hold nothing and have not asked for a while. In one step, because a consumer
-- that got an entry in between would take that entry with it.
--
-- KEYS: 1 endings.
-- ARGV: 1 group, 2 idle time from which on a consumer counts as gone (ms).
--
-- Returns nothing.

if redis.call('EXISTS', KEYS[1]) == 0 then return end
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local known = {}
  for i = 1, #consumer, 2 do known[consumer[i]] = consumer[i + 1] end
  if known.pending == 0 and known.idle >= tonumber(ARGV[2]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], known.name)
  end
end
