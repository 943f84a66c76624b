-- Claims jobs of several queues: first those whose lease has expired, then those that are due. Needs ring.lua and
-- history.lua.
--
-- For one lease after the beginning of a history, only jobs that became due since then are claimed: Redis may have lost
-- a claim of an older one.
--
-- KEYS: 1 history, then for each queue, in the order in which they are served: queue, running, bell.
--       Further keys are those of the jobs found: arq's mark, counter of tries, and body; and for each worker that is
--       found lost one that says so for an hour, WORKER:lost.
-- ARGV: 1 how many jobs may be claimed, 2 lease (ms), 3 token, 4 life of the mark (ms),
--       5 until when expired leases are taken over (Unix ms); later, only those of dead workers and those of jobs that
--       were handed back,
--       6 how the names of this machine's workers begin, 7 how the keys of workers begin,
--       8 number of dead workers, then their names, then the jobs that are left where they are.
--
-- Returns {claims, wait, now (Unix ms), history, suspects, lost}
--   claims     each {job, number of the queue from 0, due (Unix ms), reason, attempt, body}
--   wait       how long until the next job is due, or the next lease expires (ms); -1 if there is none
--   suspects   workers of this machine whose leases have expired, and whose jobs may not be taken over yet
--   lost       workers that no claim has found lost before, each {name, number of its jobs in these queues}

local here, known = history(), redis.call('GET', KEYS[1])
local id, since = string.match(known or '', '^(.*) (%d+)$')
if id ~= here then
  -- If none is known nothing was claimed before: whatever is enqueued leaves the history in which it was.
  since = known and math.floor(now) or 0
  redis.call('SET', KEYS[1], string.format('%s %.0f', here, since), 'PX', 604800000)
end
local settled_at = since + ARGV[2]
local settles = now < settled_at
local left = tonumber(ARGV[1])
local takes_over = now <= tonumber(ARGV[5]) and not settles
local expired_until = takes_over and now or 0
local due_from = settles and since or '-inf'
local claimed, next_due = {}, -1
local dead, leaving, leaving_count = {}, {}, 0
for i = 9, 8 + ARGV[8] do dead[ARGV[i]] = true end
for i = 9 + ARGV[8], #ARGV do
  leaving[ARGV[i]] = true
  leaving_count = leaving_count + 1
end
-- Whoever takes over the first job of a worker tells of the loss. A worker that lives has renewed its other leases
-- within a third of a lease: it has only failed to release a job, when Redis was away.
local lost, looked_at = {}, {}
local function tell_lost(job)
  local name, random = string.match(redis.call('GET', 'arq:in-progress:' .. job) or '', '^(.*):(%x+)$')
  if not name then return end
  local run = name .. ':' .. string.sub(random, 1, 8)
  if looked_at[run] or string.sub(ARGV[3], 1, #run) == run then return end
  looked_at[run] = true
  local told = ARGV[7] .. name .. ':lost'
  if redis.call('GET', told) == run then return end
  local count = 0
  for at = 3, #KEYS, 3 do
    local held = redis.call('ZRANGE', KEYS[at], 0, -1, 'WITHSCORES')
    for first = 1, #held, 2000 do
      local marks = {}
      for i = first, math.min(first + 1999, #held), 2 do marks[#marks + 1] = 'arq:in-progress:' .. held[i] end
      for i, mark in ipairs(redis.call('MGET', unpack(marks))) do
        if mark and string.sub(mark, 1, #run) == run then
          if tonumber(held[first + 2 * i - 1]) > now + ARGV[2] / 2 then return end
          count = count + 1
        end
      end
    end
  end
  redis.call('SET', told, run, 'PX', 3600000)
  lost[#lost + 1] = {name, count}
end
local function claim(at, job, due, reason)
  if reason == 'worker_lost' then tell_lost(job) end
  redis.call('ZADD', KEYS[at + 1], now + ARGV[2], job)
  redis.call('SET', 'arq:in-progress:' .. job, ARGV[3], 'PX', ARGV[4])
  local tries = tonumber(redis.call('GET', 'arq:retry:' .. job) or 0) or 0
  if #claimed == 0 then redis.call('PEXPIRE', KEYS[1], 604800000) end
  local body = redis.call('GET', 'arq:job:' .. job) or ''
  table.insert(claimed, {job, math.floor((at - 2) / 3), due, reason, tries + 1, body})
  left = left - 1
end
local function each(at, key, from, until_, looks_ahead, take)
  -- One more than there are places: the first that is left says how long to wait.
  local found = redis.call('ZRANGEBYSCORE', key, from, '+inf', 'WITHSCORES', 'LIMIT', 0, left + 1 + leaving_count)
  for i = 1, #found, 2 do
    local score = tonumber(found[i + 1])
    if leaving[found[i]] then
      -- It stays where it is.
    elseif score > until_ or left <= 0 then
      -- Who leaves jobs behind rings again: the ring that brought us here may have been theirs.
      if score <= until_ then ring(KEYS[at + 2]) end
      if looks_ahead then
        local wait = math.max(0, score - now)
        if next_due < 0 or wait < next_due then next_due = wait end
      end
      return
    else
      take(found[i], score, found[i + 1])
    end
  end
end
if not settles then
  for at = 2, #KEYS, 3 do
    each(at, KEYS[at + 1], '-inf', expired_until, takes_over, function(job, score)
      claim(at, job, now, score == 0 and 'worker_shutdown' or 'worker_lost')
    end)
  end
end
-- What may not be taken over yet, because Redis may have been away, may be after all if its holder has died.
local suspects = {}
for at = 2, takes_over and 0 or #KEYS, 3 do
  for _, job in ipairs(redis.call('ZRANGEBYSCORE', KEYS[at + 1], '(0', now, 'LIMIT', 0, 64)) do
    local name = string.match(redis.call('GET', 'arq:in-progress:' .. job) or '', '^(.*):%x+$')
    if name and dead[name] and left > 0 and not leaving[job] then
      claim(at, job, now, 'worker_lost')
    elseif name and string.sub(name, 1, #ARGV[6]) == ARGV[6] then
      suspects[#suspects + 1] = name
    end
  end
end
for at = 2, #KEYS, 3 do
  each(at, KEYS[at], due_from, now, true, function(job, _, exact)
    redis.call('ZREM', KEYS[at], job)
    claim(at, job, exact, 'retry')
  end)
end
if settles and (next_due < 0 or settled_at - now < next_due) then next_due = settled_at - now end
return {claimed, next_due, now, here, suspects, lost}
