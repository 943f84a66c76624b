-- Defines `now` and `ring(bell)`, for the scripts that make a job available.
--
-- ARGV, removed here: 1 how many rings are kept if no worker waits, 2 how long they are kept (ms).
--
-- `now` is the server's time in Unix ms with a fraction, so that jobs of the same millisecond keep their order in a
-- sorted set. `ring(bell)` pushes one element to the list `bell`, which wakes one of the workers that wait for it.

local max_rings = tonumber(table.remove(ARGV, 1))
local ring_life_ms = table.remove(ARGV, 1)
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local function ring(bell)
  if redis.call('LLEN', bell) < max_rings then
    redis.call('LPUSH', bell, 1)
    redis.call('PEXPIRE', bell, ring_life_ms)
  end
end
