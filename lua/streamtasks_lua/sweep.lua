#!lua flags=allow-oom
-- sweep: strike off consumers of streams that hold nothing and have not been heard of for long.
--
-- KEYS[1] streams      SET      keys.streams
-- KEYS[2..] streams    STREAM   keys.stream(name): those to sweep; none: only the names are wanted
-- ARGV[1] idle for more than this, ms
--
-- Returns {removed, names}: names: all of keys.streams if no stream was given.
-- Moves:  nothing
-- Safe to repeat: yes. Clock: server (idle time). A consumer is made again by its next read.
-- include: streams
local idle_ms = tonumber(ARGV[1])
if #KEYS == 1 then return { 0, redis.call('SMEMBERS', KEYS[1]) } end
local removed = 0
for i = 2, #KEYS do
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
return { removed, {} }
