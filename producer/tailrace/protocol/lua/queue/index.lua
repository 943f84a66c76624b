-- Defines how indexes of jobs are read and written. An index is a sorted set of ids, scored by the time of the enqueue
-- (Unix ms).
--
-- ARGV, removed here: 1 and 2 how the keys of a body and of arq's mark begin, before the job's id.
--
-- Defines:
--   extend(index, life_ms)  lets an index live for at least so long
--   newest(index)           returns the job with the highest score, and that score; nil if there is none
--   is_held(job)            true if the job was not released yet: it has a body or a mark

local body_prefix, mark_prefix = table.remove(ARGV, 1), table.remove(ARGV, 1)
local function extend(index, life_ms)
  if redis.call('PTTL', index) < tonumber(life_ms) then redis.call('PEXPIRE', index, life_ms) end
end
local function newest(index)
  local last = redis.call('ZRANGE', index, -1, -1, 'WITHSCORES')
  return last[1], tonumber(last[2])
end
local function is_held(job)
  return redis.call('EXISTS', body_prefix .. job, mark_prefix .. job) > 0
end
