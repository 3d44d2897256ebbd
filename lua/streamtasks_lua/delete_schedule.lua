#!lua flags=allow-oom
-- delete_schedule: delete a schedule. Tasks that it has fired stay as they are.
--
-- KEYS[1] schedules    HASH     keys.schedules
-- KEYS[2] states       HASH     keys.schedule_states
-- KEYS[3] names        ZSET     keys.schedule_names
-- KEYS[4] scheduled    ZSET     keys.scheduled
-- ARGV[1] name: of the schedule
--
-- Returns {now ms, 1}; 0 instead of 1: there is none of that name.
-- Budget: one schedule.
-- Moves:  nothing
-- Role:   producer
-- Safe to repeat: yes, but the answer differs. Clock: server.
-- include: clock, remove_schedule
return { now, remove_schedule(args.name) and 1 or 0 }
