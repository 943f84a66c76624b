-- Defines `history()`, which returns the name of the current history of the server's data. Redis begins another history
-- at each restart and failover, and may then have lost the last writes that it acknowledged (see `history.py`). Touches
-- no key. `unknown_history` is the name if the Redis user may not call INFO.
--
-- ARGV, removed here: 1 that name.
--
-- The name is "RUN:DATA", with 16 characters each.

local unknown_history = table.remove(ARGV, 1)
local function history()
  local info = redis.pcall('INFO', 'server', 'replication')
  if type(info) ~= 'string' then return unknown_history end
  local run, data = string.match(info, 'run_id:(%x+)'), string.match(info, 'master_replid:(%x+)')
  return string.sub(run or '', 1, 16) .. ':' .. string.sub(data or '', 1, 16)
end
