#!lua flags=no-writes
-- events: what happened to messages, oldest first; nothing unless the writers' settings switch it on.
--
-- KEYS[1] events       STREAM   keys.events
-- ARGV[1] only those after this entry id; "": from the oldest that is kept
-- ARGV[2] how many entries at most, at most 100; each may concern 100 messages
--
-- Returns {entry id, {"kind", kind, id, detail, ...}} per entry.
-- Moves:  nothing
-- Safe to repeat: yes. Clock: none.
local events, after = KEYS[1], ARGV[1]
return redis.call('XRANGE', events, after == '' and '-' or '(' .. after, '+', 'COUNT', tonumber(ARGV[2]))
