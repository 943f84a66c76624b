-- Ends a claim, if the mark still has its token. Needs ring.lua and history.lua.
--
-- If the mark is missing in another history, Redis has lost the claim. The claim is ended all the same: the job is
-- removed, or put back into the queue with its body and its counter.
--
-- KEYS: 1 queue, 2 running, 3 bell, 4 mark, 5 body, 6 counter of tries, 7 result.
-- ARGV: 1 job, 2 token,
--       3 "finish" if the job is over, "retry" if it is to run again, "hand_back" if another worker is to take it over
--       at once,
--       4 delay until it is due again (ms), 5 history in which the claim was taken or asserted, 6 attempt,
--       7 body, "" if it is unknown, 8 life of the body (ms).
--
-- Returns 1, or 0 if another worker holds the job, or it was deleted.

local queue, running, bell, mark, body_key, tries_key, result_key = unpack(KEYS)
local job, token, what, delay_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local claimed_in, attempt, body, body_life_ms = ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local holder = redis.call('GET', mark)
if holder ~= token then
  -- In the same history, a missing mark means that the job was deleted.
  if holder or history() == claimed_in then return 0 end
  redis.call('ZREM', queue, job)
  if what ~= 'finish' then
    -- Put back as newly due, the job can be claimed at once. A lease that is handed back could not: in a new history,
    -- none is taken over for one lease.
    what = 'retry'
    if body ~= '' then redis.call('SET', body_key, body, 'NX', 'PX', body_life_ms) end
    local tries = tonumber(redis.call('GET', tries_key) or 0) or 0
    if tries < tonumber(attempt) then redis.call('SET', tries_key, attempt, 'PX', body_life_ms) end
  end
end
redis.call('DEL', mark)
if what == 'hand_back' then
  redis.call('ZADD', running, 0, job)
  ring(bell)
  return 1
end
redis.call('ZREM', running, job)
if what == 'retry' then
  redis.call('ZADD', queue, now + delay_ms, job)
  if delay_ms == 0 then ring(bell) end
else
  redis.call('DEL', body_key, tries_key, result_key)
end
return 1
