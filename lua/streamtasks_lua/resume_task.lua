#!lua flags=allow-oom
-- resume_task: let calls of a task be claimed again; those that claims have set aside go back to their old places.
--
-- KEYS[1] paused       ZSET     keys.paused
-- KEYS[2] pause_notes  HASH     keys.pause_notes
-- KEYS[3] set_aside    ZSET     keys.set_aside
-- KEYS[4] messages     HASH     keys.messages
-- KEYS[5] state        HASH     keys.state
-- KEYS[6] ready        ZSET     keys.ready
-- KEYS[7] streams      ZSET     keys.streams
-- KEYS[8] wake         LIST     keys.wake
-- KEYS[9] paused_ready ZSET     keys.paused_ready
-- KEYS[10] delayed     ZSET     keys.delayed
-- KEYS[11] control     CHANNEL  keys.control
-- KEYS[12] waiting     ZSET     keys.waiting
-- KEYS[13] limits      HASH     keys.limits
-- KEYS[14] asking      ZSET     keys.asking
-- KEYS[15] waits       ZSET     keys.waits
-- KEYS[16..] pairs     STREAM, LIST   keys.stream(name), keys.queue_wake(queue)
-- ARGV[1] task: its name
-- ARGV[2] stream_count: number of streams
-- ARGV[3..] their names
--
-- Returns {1 it was paused, else 0; missing; more}: names of streams that the call must bring; more: 1 if more was set
--         aside: call again with all streams. Claims set nothing more aside from the first call on; the pause is there
--         until nothing is left.
-- Budget: 100 messages.
-- Moves:  set aside -> ready | suspect, at the old place; with a rate limit -> waiting for it
-- Role:   producer
-- Safe to repeat: yes. Clock: server.
-- include: missing, place
local task, left = args.task, 100
local what, consumer = 'task:' .. task, 'paused:' .. task
local was = redis.call('ZSCORE', keys.paused, what) and 1 or 0
if was == 1 then redis.call('ZADD', keys.paused, 2, what) end

-- set_aside(): names of the streams in which some may be left, at most 100.
local function set_aside()
  local names = {}
  for i, member in ipairs(redis.call('ZRANGEBYLEX', keys.set_aside, '[' .. task .. '\0', '(' .. task .. '\1', 'LIMIT', 0, 100)) do
    names[i] = member:sub(#task + 2)
  end
  return names
end

-- let_go(name): let at most `left` messages of a stream go.
local function let_go(name)
  local key, ids = by_name[name].key, {}
  local is_there = redis.call('EXISTS', key) == 1
  for i, row in ipairs(is_there and redis.call('XPENDING', key, GROUP, '-', '+', left, consumer) or {}) do ids[i] = row[1] end
  local was_all = #ids < left
  left = left - #ids
  local gone, suspects, stays = {}, {}, false
  for _, entry in ipairs(#ids > 0 and redis.call('XCLAIM', key, GROUP, 'returned', 0, unpack(ids)) or {}) do
    local id = entry[2] and entry[2][2] or ''
    local line = redis.call('HGET', keys.state, id)
    local s = line and parse(line)
    if redis.call('HEXISTS', keys.messages, id) == 0 or (s and s.phase ~= 'Q' and s.phase ~= 'S') then
      gone[#gone + 1] = entry[1] -- revoked meanwhile
    elseif s and limit_of(s) then
      gone[#gone + 1] = entry[1]
      if s.phase == 'S' then mark(s, 's', '1') end
      place(s, id, 0) -- its token was given up
    else
      stays = true
      if s and s.phase == 'S' then suspects[#suspects + 1] = entry[1] end
    end
  end
  if #gone > 0 then
    redis.call('XACK', key, GROUP, unpack(gone))
    redis.call('XDEL', key, unpack(gone))
  end
  for _, entry in ipairs(suspects) do redis.call('XCLAIM', key, GROUP, 'suspect', 0, entry, 'JUSTID') end
  if stays then make_ready(name) end
  if was_all then
    if is_there then redis.call('XGROUP', 'DELCONSUMER', key, GROUP, consumer) end
    redis.call('ZREM', keys.set_aside, task .. '\0' .. name)
  end
end

for _, name in ipairs(set_aside()) do
  if left > 0 and brought(name) then let_go(name) end
end
local more = #missing == 0 and #set_aside() > 0 and 1 or 0
if #missing == 0 and more == 0 then
  redis.call('ZREM', keys.paused, what)
  redis.call('HDEL', keys.pause_notes, what)
end
return { was, missing, more }
