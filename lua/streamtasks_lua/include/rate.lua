-- rate: how starts count against a rate: the generic cell rate algorithm, in us.
--
-- A time ("full at") says when the next start would be on time; each start moves it on by the interval.
-- Keys: none.
-- slack_of(interval): so late a start may be and still catch up, so that a rate is reached and not only kept.
local function slack_of(interval)
  return math.min(math.floor(interval / 5), 20000)
end
-- at_once(interval): how many starts fall into 20 ms, the grain in which fast limits count; a burst is never less.
local function at_once(interval)
  return math.max(1, math.min(100, math.floor(20000 / interval)))
end
