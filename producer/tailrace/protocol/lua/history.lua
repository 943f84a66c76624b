-- Defines `history()`, which names the history of the server's data. Redis begins another one at each restart and
-- failover, and may then have lost the last writes that it acknowledged (see `history.py`). Touches no key.
--
-- Returns "RUN:DATA", 16 characters each; "unknown" if the user may not call INFO.

local function history()
  local info = redis.pcall('INFO', 'server', 'replication')
  if type(info) ~= 'string' then return 'unknown' end
  local run, data = string.match(info, 'run_id:(%x+)'), string.match(info, 'master_replid:(%x+)')
  return string.sub(run or '', 1, 16) .. ':' .. string.sub(data or '', 1, 16)
end
