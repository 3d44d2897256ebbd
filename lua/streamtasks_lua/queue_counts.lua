#!lua flags=no-writes
-- queue_counts: what has finished of a queue in the last whole minutes, and how long its attempts ran.
--
-- KEYS[1] counts       HASH     keys.counts(hour)
-- KEYS[2] earlier      HASH     keys.counts(hour - 1)
-- ARGV[1] hour: since 1970, as the caller thinks
-- ARGV[2] queue: its name
-- ARGV[3] minutes: how many, at most 30
-- ARGV[4..] outcomes that count
--
-- Returns {now ms, finished, ms}; {now ms, -1, 0}: ARGV[1] is another hour.
-- Budget: 30 minutes of one queue.
-- Moves:  nothing
-- Role:   monitor
-- Safe to repeat: yes. Clock: server.
-- include: clock
local minute, hour = math.floor(now / 60000), tonumber(args.hour)
if math.floor(now / 3600000) ~= hour then return { now, -1, 0 } end
local fields, finished, ms = { {}, {} }, 0, 0
for ago = 1, tonumber(args.minutes) do
  local of = math.floor((minute - ago) / 60) == hour and fields[1] or fields[2]
  local prefix = (minute - ago) % 60 .. ' ' .. args.queue .. ' '
  of[#of + 1] = prefix .. 'ms'
  for at = args.more, #ARGV do of[#of + 1] = prefix .. ARGV[at] end
end
local function add(names, counts)
  for at, count in ipairs(counts) do
    if count and string.sub(names[at], -3) == ' ms' then
      ms = ms + tonumber(count)
    elseif count then
      finished = finished + tonumber(count)
    end
  end
end
if #fields[1] > 0 then add(fields[1], redis.call('HMGET', keys.counts, unpack(fields[1]))) end
if #fields[2] > 0 then add(fields[2], redis.call('HMGET', keys.earlier, unpack(fields[2]))) end
return { now, finished, ms }
