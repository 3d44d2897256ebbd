#!lua flags=no-writes
-- pauses: what is paused, since when, by whom and why.
--
-- KEYS[1] paused       ZSET     keys.paused
-- KEYS[2] pause_notes  HASH     keys.pause_notes
-- ARGV[1] most: at most 1,000
--
-- Returns per pause: what, "<since ms> <note>".
-- Budget: 1,000 pauses.
-- Moves:  nothing
-- Role:   monitor
-- Safe to repeat: yes. Clock: none.
local reply, names = {}, redis.call('ZRANGE', keys.paused, 0, args.most - 1)
if #names == 0 then return reply end
for i, note in ipairs(redis.call('HMGET', keys.pause_notes, unpack(names))) do
  reply[2 * i - 1], reply[2 * i] = names[i], note or '0 ["",""]'
end
return reply
