#!lua flags=allow-oom
-- touch: write something, so that WAIT or WAITAOF behind it on the same connection waits even if the calls between write
--       nothing, because what they bring is known already.
--
-- KEYS[1] touched      STRING   keys.touched
-- ARGV[1] id: of the first message that the calls behind it bring, or of their workflow
--
-- Returns {now ms}.
-- Budget: one short string.
-- Moves:  nothing
-- Role:   producer
-- Safe to repeat: yes. Clock: server.
-- include: clock
redis.call('SET', keys.touched, int(now) .. ' ' .. args.id)
return { now }
