#!lua flags=no-writes
-- audit_entries: what was changed by whom, newest first.
--
-- KEYS[1] audit        STREAM   keys.audit
-- ARGV[1] before: only those before this entry id; "+": from the newest
-- ARGV[2] most: how many at most, at most 100
--
-- Returns {entry id, {"nonce", nonce, "entry", JSON}} per entry.
-- Budget: 100 entries.
-- Moves:  nothing
-- Role:   monitor
-- Safe to repeat: yes. Clock: none.
local before = args.before == '+' and '+' or '(' .. args.before
return redis.call('XREVRANGE', keys.audit, before, '-', 'COUNT', args.most)
