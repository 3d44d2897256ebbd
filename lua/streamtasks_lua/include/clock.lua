-- clock: the server's time, the only one that the state machine trusts; it stands still while a script runs.
--
-- now: ms since 1970; now_us: the same in us.
-- Keys: none.
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now = math.floor(now_us / 1000)
-- int(number): its text with all digits; Lua's tostring() turns 13 digits into 1.7e+12.
local function int(number)
  return string.format('%.0f', number)
end
