#!lua flags=allow-oom
-- sweep: remove consumers of streams that hold nothing and have been idle for long.
--
-- KEYS[1] streams      ZSET     keys.streams
-- KEYS[2..] streams    STREAM   keys.stream(name): those to sweep; may be none
-- ARGV[1] idle_ms: idle for more than this
-- ARGV[2] place: in keys.streams from which names are wanted, from 0
-- ARGV[3] most: how many names are wanted, at most 16
--
-- Returns {removed, names}: names of the streams to sweep next; none: that was all.
-- Budget: 16 streams with all of their consumers.
-- Moves:  nothing
-- Safe to repeat: yes. Clock: server (idle time). A consumer is made again by its next read.
-- include: group
local idle_ms, from, most = tonumber(args.idle_ms), tonumber(args.place), tonumber(args.most)
local removed = 0
for i = keys.more, #KEYS do
  local consumers = redis.pcall('XINFO', 'CONSUMERS', KEYS[i], GROUP)
  -- XGROUP DELCONSUMER drops what a consumer holds without a word, so look and delete are one step.
  for _, row in ipairs(consumers.err and {} or consumers) do
    local info = {}
    for at = 1, #row, 2 do info[row[at]] = row[at + 1] end
    if info.pending == 0 and info.idle > idle_ms and info.name ~= 'returned' and info.name ~= 'suspect' then
      redis.call('XGROUP', 'DELCONSUMER', KEYS[i], GROUP, info.name)
      removed = removed + 1
    end
  end
end
return { removed, redis.call('ZRANGE', keys.streams, from, from + most - 1) }
