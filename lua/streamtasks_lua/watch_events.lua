#!lua
-- watch_events: let events be written for some time, because somebody watches.
--
-- KEYS[1] watchers     STRING   keys.watchers
-- ARGV[1] kept: how many events are kept meanwhile
-- ARGV[2] watch_ms: for how long, ms
--
-- Returns {1}.
-- Budget: one key.
-- Moves:  nothing
-- Role:   producer
-- Safe to repeat: yes. Clock: none.
redis.call('SET', keys.watchers, args.kept, 'PX', args.watch_ms)
return { 1 }
