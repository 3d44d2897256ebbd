-- How starts are counted against a rate: the generic cell rate algorithm, in microseconds. A time ("full at") says
-- when the next start would be on time; each start moves it on by the interval. Whoever comes late may catch up to
-- `slack_of`, so that the rate holds although nobody wakes up exactly on time. `at_once`: how many starts fall into
-- 20 ms, the grain in which fast limits are counted; a burst is never less.
local function now_us()
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2]
end
local function slack_of(interval)
  return math.min(math.floor(interval / 5), 20000)
end
local function at_once(interval)
  return math.max(1, math.min(100, math.floor(20000 / interval)))
end
