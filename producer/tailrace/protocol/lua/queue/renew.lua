-- Renews the leases of claims. Needs history.lua. Uses one MGET and one ZADD for a thousand jobs: what costs Redis time
-- is the number of commands.
--
-- KEYS: 1... running, of each queue. Further keys are arq's marks of the jobs.
-- ARGV: 1 lease (ms), then for each claim: number of its running set from 1, job, token.
--
-- Returns {jobs that another worker holds, jobs that no worker holds, history}.

local time = redis.call('TIME')
local deadline = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[1]
local taken, missing = {}, {}
for first = 2, #ARGV, 3000 do
  local marks, renewed = {}, {}
  local last = math.min(first + 2999, #ARGV)
  for i = first, last, 3 do table.insert(marks, 'arq:in-progress:' .. ARGV[i + 1]) end
  local tokens = redis.call('MGET', unpack(marks))
  for i = first, last, 3 do
    if tokens[(i - first) / 3 + 1] == ARGV[i + 2] then
      local running = KEYS[tonumber(ARGV[i])]
      renewed[running] = renewed[running] or {}
      table.insert(renewed[running], deadline)
      table.insert(renewed[running], ARGV[i + 1])
    else
      table.insert(tokens[(i - first) / 3 + 1] and taken or missing, ARGV[i + 1])
    end
  end
  for running, members in pairs(renewed) do redis.call('ZADD', running, 'XX', unpack(members)) end
end
return {taken, missing, history()}
