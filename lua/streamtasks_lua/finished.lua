#!lua flags=no-writes
-- finished: a page of the index of what finished in one hour, oldest first.
--
-- KEYS[1] finished     STREAM   keys.finished(hour)
-- ARGV[1] after: only entries after this entry id; "": from the first
-- ARGV[2] most: how many entries at most, at most 100; each may hold 100 ids
--
-- Returns {entry id, {id, "<outcome> <stream name>", ...}} per entry.
-- Budget: 100 entries of 100 ids.
-- Moves:  nothing
-- Safe to repeat: yes. Clock: none.
local after = args.after == '' and '-' or '(' .. args.after
return redis.call('XRANGE', keys.finished, after, '+', 'COUNT', tonumber(args.most))
