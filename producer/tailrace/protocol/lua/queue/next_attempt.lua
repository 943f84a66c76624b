-- Counts another attempt of a job that its worker still holds. Changes nothing for any other worker: one that was
-- suspended, and lost the job meanwhile, would get a number that fences its successor.
--
-- KEYS: 1 mark, 2 counter of tries.
-- ARGV: 1 token.
--
-- Returns the number of the attempt, or 0 if another worker holds the job.

local mark, tries_key = KEYS[1], KEYS[2]
local token = ARGV[1]
if redis.call('GET', mark) ~= token then return 0 end
return redis.call('INCR', tries_key)
