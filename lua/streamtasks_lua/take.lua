#!lua flags=allow-oom
-- take: ask limiters for tokens; each token is one start. A limiter is one for all shards, in a slot of its own.
--
-- KEYS[1..] limiters   STRING   keys.limiter(name), one per ask: when its next start is on time, us; expires by itself
-- ARGV[1..] per ask 3 values: interval us, burst, tokens wanted
--
-- Returns {now ms, then per ask 2 values: tokens granted, us until the next one (0 if any were granted)}.
-- Budget: 100 limits.
-- Moves:  nothing
-- Role:   worker
-- Safe to repeat: no, what was granted before is lost; there are never more than the rate allows. Clock: server.
-- include: clock, rate
local reply = { now }
for i, limiter in ipairs(KEYS) do
  local at = 3 * i - 2
  local interval, burst, wanted = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  burst = math.max(burst, at_once(interval))
  local slack = slack_of(interval)
  local known = tonumber(redis.call('GET', limiter) or 0) or 0
  -- Further ahead than a burst it can only be by an earlier rate, or by a clock that was set back.
  local from = math.min(math.max(known, now_us - slack), now_us + burst * interval)
  local granted = math.min(math.floor((now_us - from) / interval) + burst, wanted)
  local full_at = from + granted * interval
  if granted > 0 or full_at < known then
    redis.call('SET', limiter, int(full_at), 'PX', int(math.ceil((full_at - now_us + slack) / 1000)))
  end
  reply[#reply + 1] = granted
  reply[#reply + 1] = granted > 0 and 0 or from - (burst - 1) * interval - now_us
end
return reply
