#!lua
-- move: let up to 100 messages that nobody holds wait in another queue, each with the envelope that names it.
--
-- KEYS[1] messages     HASH     keys.messages
-- KEYS[2] state        HASH     keys.state
-- KEYS[3] delayed      ZSET     keys.delayed
-- KEYS[4] ready        ZSET     keys.ready
-- KEYS[5] streams      ZSET     keys.streams
-- KEYS[6] wake         LIST     keys.wake
-- KEYS[7] control      CHANNEL  keys.control
-- KEYS[8] waiting      ZSET     keys.waiting
-- KEYS[9] limits       HASH     keys.limits
-- KEYS[10] asking      ZSET     keys.asking
-- KEYS[11] paused      ZSET     keys.paused
-- KEYS[12] paused_ready ZSET    keys.paused_ready
-- KEYS[13] waits       ZSET     keys.waits
-- KEYS[14..] pairs     STREAM, LIST   keys.stream(name), keys.queue_wake(queue): old and new ones
-- ARGV[1] stream_count: number of streams
-- ARGV[2..] their names, "<priority>:<queue>"; then per message 5 values: id, its entry in its stream ("": it is in none, it
--         waits for its time or its limit), number of its stream from 1, number of the new one, envelope
--
-- The time of acceptance that stands before an envelope, and the zeros before it, stay.
--
-- Returns {code...}: 1 moved; 2 moved by an earlier call: it has this envelope; 0 nothing was done: it is held, finished, or
--         not there any more.
-- Budget: 100 messages, 512 KiB of envelopes and one more.
-- Moves:  ready | suspect -> the same, at the end of the other stream; delayed | waiting for its limit -> the same
--         A token of a rate limit that it has is kept.
-- Role:   producer
-- Safe to repeat: yes, by the envelope. Clock: server.
-- include: place
local first_member = args.more + stream_count
local reply = {}
for at = first_member, #ARGV, 5 do
  if not by_name[ARGV[args.more - 1 + ARGV[at + 2]]] or not by_name[ARGV[args.more - 1 + ARGV[at + 3]]] then
    return redis.error_reply('ERR move: message ' .. ARGV[at] .. ' names no stream of this call')
  end
end
-- move(id, entry, from, to, envelope): code of one message; see Returns. `from`, `to`: names of streams.
local function move(id, entry, from, to, envelope)
  local message = redis.call('HGET', keys.messages, id)
  if not message then return 0 end
  local new = (message:match('^%w+ ') or '') .. envelope
  if message == new then return 2 end
  local line = redis.call('HGET', keys.state, id)
  local s = line and parse(line)
  if s and s.name ~= from then return 0 end
  if s and (s.phase == 'D' or s.phase == 'W') then
    local kind = s.phase == 'D' and 'delayed' or 'limited'
    count_wait(kind, from, -1)
    count_wait(kind, to, 1)
    s.name = to
    redis.call('HSET', keys.state, id, format(s))
  elseif s and s.phase ~= 'Q' and s.phase ~= 'S' then
    return 0
  else
    local key = by_name[from].key
    local found = entry ~= '' and redis.call('XRANGE', key, entry, entry)[1]
    if not found or found[2][2] ~= id then return 0 end
    redis.call('XACK', key, GROUP, entry)
    redis.call('XDEL', key, entry)
    s = s or new_line(to, 'Q')
    if s.phase == 'S' then mark(s, 's', '1') end
    s.name = to
    place(s, id, 0, 'admitted')
  end
  redis.call('HSET', keys.messages, id, new)
  return 1
end
for at = first_member, #ARGV, 5 do
  reply[#reply + 1] = move(ARGV[at], ARGV[at + 1], ARGV[args.more - 1 + ARGV[at + 2]],
    ARGV[args.more - 1 + ARGV[at + 3]], ARGV[at + 4])
end
return reply
