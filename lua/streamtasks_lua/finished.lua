#!lua flags=no-writes
-- finished: a page of the index of what finished in one hour, oldest first.
--
-- KEYS[1] finished     STREAM   keys.finished(hour)
-- ARGV[1] only entries after this entry id; "": from the first
-- ARGV[2] how many entries at most, at most 100; each may hold 100 ids
--
-- Returns {entry id, {id, "<outcome> <stream name>", ...}} per entry.
-- Moves:  nothing
-- Safe to repeat: yes. Clock: none.
local finished, after = KEYS[1], ARGV[1]
return redis.call('XRANGE', finished, after == '' and '-' or '(' .. after, '+', 'COUNT', tonumber(ARGV[2]))
