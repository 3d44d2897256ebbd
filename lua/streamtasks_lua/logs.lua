#!lua flags=no-writes
-- logs: what the attempts of a task have logged, as far as it is kept.
--
-- KEYS[1] log          HASH     keys.log(id)
-- ARGV[1] known: how many lines the caller has already
--
-- Returns {first lines, how many were dropped behind them, last lines}; {} if there are no more than the caller has.
-- Budget: one task.
-- Moves:  nothing
-- Role:   monitor
-- Safe to repeat: yes. Clock: none.
local lines = redis.call('HGET', keys.log, 'lines')
if not lines or lines == args.known then return {} end
return redis.call('HMGET', keys.log, 'first', 'left_out', 'last')
