-- Milliseconds since the epoch by the server's clock: the only clock the state machine trusts.
local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
-- Integers written with full digits: Lua's tostring() turns 13-digit numbers into 1.7e+12.
local function int(n)
  return string.format('%.0f', n)
end
