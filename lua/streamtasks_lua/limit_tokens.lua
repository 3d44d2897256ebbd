#!lua flags=no-writes
-- limit_tokens: how many starts limiters would allow now.
--
-- KEYS[1..] limiters   STRING   keys.limiter(name)
-- ARGV[1..] per limiter 2 values: interval us, burst
--
-- Returns {now ms, tokens...}: one number per limiter.
-- Budget: 100 limits.
-- Moves:  nothing
-- Role:   monitor
-- Safe to repeat: yes. Clock: server.
-- include: clock, rate
local reply = { now }
for i, limiter in ipairs(KEYS) do
  local at = 2 * i - 1
  local interval, burst = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  burst = math.max(burst, at_once(interval))
  local known = tonumber(redis.call('GET', limiter) or 0) or 0
  local from = math.min(math.max(known, now_us - slack_of(interval)), now_us + burst * interval)
  reply[i + 1] = math.max(0, math.floor((now_us - from) / interval) + burst)
end
return reply
