#!lua flags=allow-oom
-- sweep: remove consumers that hold nothing and have been idle for long, and streams that nothing has come to for longer.
--
-- KEYS[1] streams      ZSET     keys.streams
-- KEYS[2] ready        ZSET     keys.ready
-- KEYS[3] reserved     HASH     keys.reserved
-- KEYS[4] paused_ready ZSET     keys.paused_ready
-- KEYS[5..] pairs      STREAM, LIST   keys.stream(name), keys.queue_wake(queue): those to sweep; may be none
-- ARGV[1] idle_ms: consumers that have been idle for more than this
-- ARGV[2] retire_ms: streams whose latest entry was made longer ago, if they have no entry and none is pending
-- ARGV[3] after: the name in keys.streams behind which names are wanted, "": from the first
-- ARGV[4] most: how many names are wanted, at most 16
-- ARGV[5] stream_count: number of streams
-- ARGV[6..] their names
--
-- Returns {consumers removed, streams retired, names}: names of the streams to sweep next; none: that was all.
-- Budget: 16 streams with all of their consumers.
-- Moves:  nothing
-- Role:   worker
-- Safe to repeat: yes. Clock: server. A consumer is made again by its next read, a stream by its next message.
-- include: clock, nobody, retire
local idle_ms, retire_ms, removed, retired = tonumber(args.idle_ms), tonumber(args.retire_ms), 0, 0

-- rows_of(reply): what XINFO returns of one thing, by field.
local function rows_of(reply)
  local info = {}
  for at = 1, #reply, 2 do info[reply[at]] = reply[at + 1] end
  return info
end

-- is_over(stream): whether nothing is in a stream, and nothing has come for long.
local function is_over(stream)
  local entries, pending = left_in(stream)
  if entries > 0 or pending > 0 then return false end
  local info = redis.pcall('XINFO', 'STREAM', stream)
  if info.err then return true end -- it is gone already
  local latest = rows_of(info)['last-generated-id']
  return now - tonumber(latest:match('^%d+')) > retire_ms
end

for i = 1, tonumber(args.stream_count) do
  local name, stream, wake = ARGV[args.more + i - 1], KEYS[keys.more + 2 * i - 2], KEYS[keys.more + 2 * i - 1]
  if is_over(stream) then
    if retire(name, stream) then retired = retired + 1 end
    -- Another stream of the queue may have woken a child that has not come yet.
    if not is_ready(name:match(':(.*)$')) then redis.call('DEL', wake) end
  else
    local consumers = redis.pcall('XINFO', 'CONSUMERS', stream, GROUP)
    -- XGROUP DELCONSUMER drops what a consumer holds without a word, so look and delete are one step.
    for _, row in ipairs(consumers.err and {} or consumers) do
      local info = rows_of(row)
      if info.pending == 0 and info.idle > idle_ms and not is_nobody(info.name) then
        redis.call('XGROUP', 'DELCONSUMER', stream, GROUP, info.name)
        removed = removed + 1
      end
    end
  end
end
local from = args.after == '' and '-' or '(' .. args.after
return { removed, retired, redis.call('ZRANGEBYLEX', keys.streams, from, '+', 'LIMIT', 0, tonumber(args.most)) }
