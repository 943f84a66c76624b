-- Renews the leases of claims. Needs history.lua. Uses one MGET and one ZADD for a thousand jobs, because each command
-- costs Redis time.
--
-- KEYS: 1... running, of each queue. The script also uses arq's marks of the jobs.
-- ARGV: 1 lease (ms), 2 prefix of the key of a mark, before the job's id,
--       then for each claim: number of its running set from 1, job, token.
--
-- Returns {jobs that another worker holds, jobs that no worker holds, history}.

local lease_ms, mark_prefix = ARGV[1], ARGV[2]
local time = redis.call('TIME')
local deadline = time[1] * 1000 + math.floor(time[2] / 1000) + lease_ms
local taken, missing = {}, {}
-- A thousand jobs at a time: Lua can unpack some 8000 values.
for first = 3, #ARGV, 3000 do
  local marks, renewed = {}, {}
  local last = math.min(first + 2999, #ARGV)
  for i = first, last, 3 do table.insert(marks, mark_prefix .. ARGV[i + 1]) end
  local holders = redis.call('MGET', unpack(marks))
  for i = first, last, 3 do
    local job, token, holder = ARGV[i + 1], ARGV[i + 2], holders[(i - first) / 3 + 1]
    if holder == token then
      local running = KEYS[tonumber(ARGV[i])]
      renewed[running] = renewed[running] or {}
      table.insert(renewed[running], deadline)
      table.insert(renewed[running], job)
    else
      table.insert(holder and taken or missing, job)
    end
  end
  for running, members in pairs(renewed) do redis.call('ZADD', running, 'XX', unpack(members)) end
end
return {taken, missing, history()}
