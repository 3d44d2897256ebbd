#!lua flags=no-writes
-- events: what happened to messages, oldest first; nothing unless the writers' settings switch it on.
--
-- KEYS[1] events       STREAM   keys.events
-- ARGV[1] after: only those after this entry id; "": from the oldest that is kept; "$": only the latest one
-- ARGV[2] most: how many entries at most, at most 100; each may concern 100 messages
--
-- Returns {entry id, {"kind", kind, id, detail, ...}} per entry.
-- Budget: 100 entries of 100 messages.
-- Moves:  nothing
-- Role:   monitor
-- Safe to repeat: yes. Clock: none.
if args.after == '$' then return redis.call('XREVRANGE', keys.events, '+', '-', 'COUNT', 1) end
local after = args.after == '' and '-' or '(' .. args.after
return redis.call('XRANGE', keys.events, after, '+', 'COUNT', tonumber(args.most))
