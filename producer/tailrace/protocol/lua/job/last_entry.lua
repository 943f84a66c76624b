-- Reads the last entry of a job's stream, and defines how the next entry is appended. Needs history.lua.
--
-- KEYS: 1 events, 2 record, 3 cancel, 4 regenerated.
-- ARGV, removed here: 1 how many attempt numbers a caller that does not run the job skips when it appends an entry,
--                     2 the same in another history.
--
-- Defines:
--   events, record, cancel       the first three keys
--   now                          the server's time, Unix ms
--   last                         the last entry: attempt, seq, type, ended; nil if there is no stream
--   append(attempt, fields)      appends an entry with the next SEQ, and returns its id
--   is_of_another_history()      true if Redis may have lost what the job's last attempt wrote
--   append_from_outside(fields)  appends an entry for a caller that does not run the job
--   expire(ms)                   sets the expiry of all four keys

local skipped = table.remove(ARGV, 1)
local skipped_in_another_history = table.remove(ARGV, 1)
local events, record, cancel = KEYS[1], KEYS[2], KEYS[3]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local last
local function read_last()
  local entry = redis.call('XREVRANGE', events, '+', '-', 'COUNT', 1)[1]
  if not entry then return end
  local attempt, seq = string.match(entry[1], '^(%d+)-(%d+)$')
  last = {attempt = tonumber(attempt), seq = tonumber(seq)}
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'type' then last.type = entry[2][i + 1] end
  end
  last.ended = last.type == 'completed' or last.type == 'failed' or last.type == 'cancelled'
end
local function append(attempt, fields)
  local id = string.format('%.0f-%.0f', attempt, last.seq + 1)
  redis.call('XADD', events, id, unpack(fields))
  return id
end
local function is_of_another_history()
  local known = redis.call('HGET', record, 'history')
  return known and known ~= history()
end
-- The number of the attempt is far above the last one: a crash of Redis may have lost the `started` of a later attempt.
-- The worker of that attempt would append it again, but Redis refuses an id below this one. In another history the lost
-- attempt may have had a high number, so more numbers are skipped.
local function append_from_outside(fields)
  return append(last.attempt + (is_of_another_history() and skipped_in_another_history or skipped), fields)
end
local function expire(ms)
  for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ms) end
end
read_last()
