-- Ends a claim, if the token is still the job's. Needs ring.lua and history.lua.
--
-- In another history a missing token is not somebody else's: Redis has lost the claim, and what belonged to it is put
-- back or taken away.
--
-- KEYS: 1 queue, 2 running, 3 bell, 4 mark, 5 body, 6 counter of tries, 7 result.
-- ARGV: 1 job, 2 token, 3 "finish" if the job is over, "retry" if it is due again, "hand_back" if another worker shall
--       take it over at once, 4 delay until it is due again (ms), 5 history in which the claim was taken or asserted,
--       6 attempt, 7 body, "" if it is unknown, 8 life of the body (ms).
--
-- Returns 1, or 0 if another worker holds the job, or it was deleted.

local what, holder = ARGV[3], redis.call('GET', KEYS[4])
if holder ~= ARGV[2] then
  -- In the same history the job was deleted.
  if holder or history() == ARGV[5] then return 0 end
  redis.call('ZREM', KEYS[1], ARGV[1])
  if what ~= 'finish' then
    -- What is enqueued in this history need not wait until others have asserted their claims.
    what = 'retry'
    if ARGV[7] ~= '' then redis.call('SET', KEYS[5], ARGV[7], 'NX', 'PX', ARGV[8]) end
    local tries = tonumber(redis.call('GET', KEYS[6]) or 0) or 0
    if tries < tonumber(ARGV[6]) then redis.call('SET', KEYS[6], ARGV[6], 'PX', ARGV[8]) end
  end
end
redis.call('DEL', KEYS[4])
if what == 'hand_back' then
  redis.call('ZADD', KEYS[2], 0, ARGV[1])
  ring(KEYS[3])
  return 1
end
redis.call('ZREM', KEYS[2], ARGV[1])
if what == 'retry' then
  redis.call('ZADD', KEYS[1], now + ARGV[4], ARGV[1])
  if ARGV[4] == '0' then ring(KEYS[3]) end
else
  redis.call('DEL', KEYS[5], KEYS[6], KEYS[7])
end
return 1
