#!lua flags=no-writes
-- minute_counts: what finished of a queue in each minute of an hour, and how long attempts ran.
--
-- KEYS[1] counts       HASH     keys.counts(hour)
-- ARGV[1] queue: its name
-- ARGV[2..] outcomes that are wanted, and `ms`, for how long attempts ran
--
-- Returns {now ms, minute, outcome, count, ...}.
-- Budget: 60 minutes of one queue.
-- Moves:  nothing
-- Role:   monitor
-- Safe to repeat: yes. Clock: server.
-- include: clock
local found = { now }
if redis.call('EXISTS', keys.counts) == 0 then return found end
for minute = 0, 59 do
  local fields = {}
  for at = args.more, #ARGV do fields[#fields + 1] = minute .. ' ' .. args.queue .. ' ' .. ARGV[at] end
  for at, count in ipairs(redis.call('HMGET', keys.counts, unpack(fields))) do
    if count then
      found[#found + 1], found[#found + 2], found[#found + 3] = minute, ARGV[args.more + at - 1], tonumber(count)
    end
  end
end
return found
