-- Defines `now` and `ring(bell)`, for the scripts that make a job available.
--
-- `now` is the server's time in Unix ms with a fraction, so that jobs of the same millisecond keep their order in a
-- sorted set. `ring(bell)` pushes one element to the list `bell`, which wakes one worker that waits at it. No more than
-- 64 rings pile up if no worker waits.

local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local function ring(bell)
  if redis.call('LLEN', bell) < 64 then
    redis.call('LPUSH', bell, 1)
    redis.call('PEXPIRE', bell, 60000)
  end
end
