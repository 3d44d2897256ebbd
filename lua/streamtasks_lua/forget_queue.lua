#!lua flags=allow-oom
-- forget_queue: retire all streams of a queue at once, if nothing is in them.
--
-- KEYS[1] streams      ZSET     keys.streams
-- KEYS[2] ready        ZSET     keys.ready
-- KEYS[3] reserved     HASH     keys.reserved
-- KEYS[4] messages     HASH     keys.messages
-- KEYS[5] paused_ready ZSET     keys.paused_ready
-- KEYS[6] wake         LIST     keys.queue_wake(queue)
-- KEYS[7..] streams    STREAM   keys.stream(name) of its 201 priorities
-- ARGV[1..] their names
--
-- Returns {forgotten, left, held, more}: streams that went; or how many messages are left, and how many of these workers
--         hold: then none went. more: 1 if nothing but entries of finished messages was met, and there are others: call again.
-- Budget: 201 streams; 100 entries of messages that are finished leave them.
-- Moves:  nothing
-- Role:   worker
-- Safe to repeat: yes. Clock: none. Messages that wait elsewhere (delayed, for a limit, for others) are not looked for:
--         their stream is made again when they come to it.
-- include: retire
local MOST_LOOKED_AT = 100
local known, looked_at, lives, left, held = {}, 0, false, 0, 0
for i, score in ipairs(redis.call('ZMSCORE', keys.streams, unpack(ARGV))) do
  if score then known[#known + 1] = { name = ARGV[i], key = KEYS[keys.more + i - 1] } end
end
for _, stream in ipairs(known) do
  if looked_at == MOST_LOOKED_AT then break end
  for _, entry in ipairs(redis.call('XRANGE', stream.key, '-', '+', 'COUNT', MOST_LOOKED_AT - looked_at)) do
    looked_at = looked_at + 1
    if entry[2][1] == 'id' and redis.call('HEXISTS', keys.messages, entry[2][2]) == 0 then
      -- It was revoked while it waited; a claim would drop its entry.
      redis.call('XACK', stream.key, GROUP, entry[1])
      redis.call('XDEL', stream.key, entry[1])
    else
      lives = true
    end
  end
end
for _, stream in ipairs(known) do
  local entries, pending, in_hands = left_in(stream.key)
  left, held = left + math.max(entries, pending), held + in_hands
end
if left > 0 then return { 0, left, held, looked_at == MOST_LOOKED_AT and not lives and 1 or 0 } end
for _, stream in ipairs(known) do retire(stream.name, stream.key) end
redis.call('DEL', keys.wake)
return { #known, 0, 0, 0 }
