#!lua flags=allow-oom
-- renew: extend the leases of claims that their holder knows to be in flight.
--
-- KEYS[1] leases       ZSET     keys.leases
-- ARGV[1] lease_ms: from now on
-- ARGV[2..] tokens
--
-- Returns {now ms, code...}: 1 renewed, 0 this claim is not held any more (its attempts must not go on).
-- Budget: 100 claims.
-- Moves:  nothing
-- Role:   worker
-- Safe to repeat: yes, by token. Clock: server.
-- include: clock
local expires = int(now + args.lease_ms)
local reply = { now }
for at = args.more, #ARGV do
  if redis.call('ZSCORE', keys.leases, ARGV[at]) then
    redis.call('ZADD', keys.leases, expires, ARGV[at])
    reply[at] = 1
  else
    reply[at] = 0
  end
end
return reply
