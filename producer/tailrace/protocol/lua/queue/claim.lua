-- Claims jobs of several queues: first those whose lease has expired, then those that are due. Needs ring.lua and
-- history.lua.
--
-- For one lease after the beginning of a history, only jobs that became due since then are claimed: Redis may have lost
-- a claim on an older job.
--
-- KEYS: 1 history, then for each queue, in the order in which they are served: queue, running, bell.
--       The script also uses keys that it finds: of each job, arq's mark, counter of tries and body; and one key for
--       each worker that it finds lost.
-- ARGV: 1 how many jobs may be claimed, 2 lease (ms), 3 token, 4 life of the mark (ms),
--       5 time until which all expired leases are taken over (Unix ms); after it, only leases of dead workers are,
--       6 prefix of the names of this machine's workers, 7 how many suspects are searched for in each queue,
--       8 life of the history (ms),
--       9 to 11 prefixes, before the job's id, of the keys of a mark, of a counter of tries and of a body,
--       12 prefix and 13 suffix, around a worker's name, of the key of a lost worker, 14 life of this key (ms),
--       15 number of dead workers, then their names, then the jobs that are not claimed.
--
-- Returns {claims, wait, now (Unix ms), history, suspects, lost}
--   claims     each {job, number of the queue from 0, due (Unix ms), reason, attempt, body}
--   wait       time until the next job is due, or the next lease expires (ms); -1 if there is none
--   suspects   workers of this machine whose leases have expired, but whose jobs may not be taken over yet
--   lost       workers that this claim is the first to find lost, each {name, number of its jobs in these queues}

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
  -- If no history is stored, nothing was claimed before: every enqueue stores the history if none is stored.
  since = known and math.floor(now) or 0
  redis.call('SET', history_key, string.format('%s %.0f', here, since), 'PX', history_life_ms)
end
local settled_at = since + lease_ms
local settles = now < settled_at
local takes_over = now <= takes_over_until and not settles
local expired_until = takes_over and now or 0
local due_from = settles and since or '-inf'
local claimed, next_due = {}, -1
-- The claim that takes over the first job of a worker reports the worker as lost. If the worker has renewed another
-- lease within the last half of a lease, it is alive, and only failed to release this job while Redis was away.
local lost, checked = {}, {}
local function report_lost(job)
  -- A process is known by its worker's name and the first 8 digits of its tokens.
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
  if reason == 'worker_lost' then report_lost(job) end
  redis.call('ZADD', KEYS[at + 1], now + lease_ms, job)
  redis.call('SET', mark_prefix .. job, token, 'PX', mark_life_ms)
  local tries = tonumber(redis.call('GET', tries_prefix .. job) or 0) or 0
  if #claimed == 0 then redis.call('PEXPIRE', history_key, history_life_ms) end
  local body = redis.call('GET', body_prefix .. job) or ''
  table.insert(claimed, {job, math.floor((at - 2) / 3), due, reason, tries + 1, body})
  left = left - 1
end
local function each(at, key, from, until_, looks_ahead, take)
  -- Read one more than may be claimed: the first one that is not claimed says how long to wait.
  local found = redis.call('ZRANGEBYSCORE', key, from, '+inf', 'WITHSCORES', 'LIMIT', 0, left + 1 + leaving_count)
  for i = 1, #found, 2 do
    local job, score = found[i], tonumber(found[i + 1])
    if not leaving[job] then
      if score > until_ or left <= 0 then
        -- If a due job is left, ring again: the ring that woke this worker may have been for that job.
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
-- While Redis may have been away, an expired lease does not prove that its worker died. The jobs of workers that are
-- known to be dead are taken over all the same.
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
