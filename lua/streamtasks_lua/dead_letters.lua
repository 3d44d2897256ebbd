#!lua flags=no-writes
-- dead_letters: look at messages that were given up on, newest first.
--
-- KEYS[1] dead         STREAM   keys.dead
-- ARGV[1] before: only those before this entry id; "+": from the newest
-- ARGV[2] most: how many at most, at most 100
--
-- Returns {entry id, {field, value, ...}} per dead letter: fields reason, id, stream, message; or for bytes that
--         are no message reason "undecodable", stream, entry, data.
-- Moves:  nothing
-- Safe to repeat: yes. Clock: none.
local before = args.before == '+' and '+' or '(' .. args.before
return redis.call('XREVRANGE', keys.dead, before, '-', 'COUNT', tonumber(args.most))
