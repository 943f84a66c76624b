-- Claims jobs of several queues: first those whose lease has expired, then those that are due. Needs ring.lua and
-- history.lua.
--
-- For one lease after the beginning of a history, only jobs that became due since then are claimed: Redis may have lost
-- a claim of an older one.
--
-- KEYS: 1 history, then for each queue, in the order in which they are served: queue, running, bell.
--       Further keys are those of the jobs found, which are arq's mark, counter of tries, and body, and one for each
--       worker that is found lost.
-- ARGV: 1 how many jobs may be claimed, 2 lease (ms), 3 token, 4 life of the mark (ms),
--       5 until when expired leases are taken over (Unix ms); later, only those of dead workers and those of jobs that
--       were handed back,
--       6 how the names of this machine's workers begin, 7 how many suspects are looked for in each queue,
--       8 life of the history (ms),
--       9 to 11 how the keys of a mark, of a counter of tries and of a body begin, before the job's id,
--       12 how the key of a lost worker begins, before its name, 13 how it ends, 14 life of this key (ms),
--       15 number of dead workers, then their names, then the jobs that are left where they are.
--
-- Returns {claims, wait, now (Unix ms), history, suspects, lost}
--   claims     each {job, number of the queue from 0, due (Unix ms), reason, attempt, body}
--   wait       how long until the next job is due, or the next lease expires (ms); -1 if there is none
--   suspects   workers of this machine whose leases have expired, and whose jobs may not be taken over yet
--   lost       workers that no claim has found lost before, each {name, number of its jobs in these queues}

local history_key = KEYS[1]
local left, lease_ms, token, mark_life_ms = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local takes_over_until, machine, max_suspects, history_life_ms = tonumber(ARGV[5]), ARGV[6], ARGV[7], ARGV[8]
local mark_prefix, tries_prefix, body_prefix = ARGV[9], ARGV[10], ARGV[11]
local loss_prefix, loss_suffix, loss_life_ms = ARGV[12], ARGV[13], ARGV[14]
local last_dead = 15 + ARGV[15]
local dead, leaving, leaving_count = {}, {}, #ARGV - last_dead
for i = 16, last_dead do dead[ARGV[i]] = true end
for i = last_dead + 1, #ARGV do leaving[ARGV[i]] = true end

local here, known = history(), redis.call('GET', history_key)
local id, since = string.match(known or '', '^(.*) (%d+)$')
if id ~= here then
  -- If no history is known, nothing was claimed before: every enqueue leaves the history in which it was made.
  since = known and math.floor(now) or 0
  redis.call('SET', history_key, string.format('%s %.0f', here, since), 'PX', history_life_ms)
end
local settled_at = since + lease_ms
local settles = now < settled_at
local takes_over = now <= takes_over_until and not settles
local expired_until = takes_over and now or 0
local due_from = settles and since or '-inf'
local claimed, next_due = {}, -1
-- The claim that takes over the first job of a worker tells of the loss. If the worker has renewed another lease within
-- half a lease, it lives, and only failed to release this job while Redis was away.
local lost, checked = {}, {}
local function tell_lost(job)
  -- A process is its name and the first 8 digits of its tokens.
  local mark = redis.call('GET', mark_prefix .. job) or ''
  local process, name = string.match(mark, '^((.*):%x%x%x%x%x%x%x%x)%x*$')
  if not process or checked[process] or string.sub(token, 1, #process) == process then return end
  checked[process] = true
  local loss_key = loss_prefix .. name .. loss_suffix
  if redis.call('GET', loss_key) == process then return end
  local count = 0
  for at = 3, #KEYS, 3 do
    local held = redis.call('ZRANGE', KEYS[at], 0, -1, 'WITHSCORES')
    -- A thousand jobs at a time: Lua can unpack some 8000 values.
    for first = 1, #held, 2000 do
      local marks = {}
      for i = first, math.min(first + 1999, #held), 2 do marks[#marks + 1] = mark_prefix .. held[i] end
      for i, holder in ipairs(redis.call('MGET', unpack(marks))) do
        if holder and string.sub(holder, 1, #process) == process then
          if tonumber(held[first + 2 * i - 1]) > now + lease_ms / 2 then return end
          count = count + 1
        end
      end
    end
  end
  redis.call('SET', loss_key, process, 'PX', loss_life_ms)
  lost[#lost + 1] = {name, count}
end
local function claim(at, job, due, reason)
  if reason == 'worker_lost' then tell_lost(job) end
  redis.call('ZADD', KEYS[at + 1], now + lease_ms, job)
  redis.call('SET', mark_prefix .. job, token, 'PX', mark_life_ms)
  local tries = tonumber(redis.call('GET', tries_prefix .. job) or 0) or 0
  if #claimed == 0 then redis.call('PEXPIRE', history_key, history_life_ms) end
  local body = redis.call('GET', body_prefix .. job) or ''
  table.insert(claimed, {job, math.floor((at - 2) / 3), due, reason, tries + 1, body})
  left = left - 1
end
local function each(at, key, from, until_, looks_ahead, take)
  -- One more than may be claimed: the first one that is left says how long to wait.
  local found = redis.call('ZRANGEBYSCORE', key, from, '+inf', 'WITHSCORES', 'LIMIT', 0, left + 1 + leaving_count)
  for i = 1, #found, 2 do
    local job, score = found[i], tonumber(found[i + 1])
    if not leaving[job] then
      if score > until_ or left <= 0 then
        -- A caller that leaves jobs behind rings again: the ring that woke it may have been for them.
        if score <= until_ then ring(KEYS[at + 2]) end
        if looks_ahead then
          local wait = math.max(0, score - now)
          if next_due < 0 or wait < next_due then next_due = wait end
        end
        return
      end
      take(job, score, found[i + 1])
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
-- A job that may not be taken over yet, because Redis may have been away, may be taken over if its worker has died.
local suspects = {}
for at = 2, takes_over and 0 or #KEYS, 3 do
  for _, job in ipairs(redis.call('ZRANGEBYSCORE', KEYS[at + 1], '(0', now, 'LIMIT', 0, max_suspects)) do
    local name = string.match(redis.call('GET', mark_prefix .. job) or '', '^(.*):%x+$')
    if name and dead[name] and left > 0 and not leaving[job] then
      claim(at, job, now, 'worker_lost')
    elseif name and string.sub(name, 1, #machine) == machine then
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
