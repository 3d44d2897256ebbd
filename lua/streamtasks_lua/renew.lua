#!lua flags=allow-oom
-- renew: extend the leases of messages that their holder knows to be in flight.
--
-- KEYS[1] state        HASH     keys.state
-- KEYS[2] leases       ZSET     keys.leases
-- ARGV[1] lease, ms
-- ARGV[2..] per message 2 values: id, token
--
-- Returns {now ms, code...}: 1 renewed, 0 not held by this token (it must not go on).
-- Moves:  nothing
-- Safe to repeat: yes, by token. Clock: server.
-- include: clock, line
local state, leases = KEYS[1], KEYS[2]
local now = now_ms()
local expires = int(now + tonumber(ARGV[1]))
local reply = { now }
for at = 2, #ARGV, 2 do
  if held(redis.call('HGET', state, ARGV[at]), ARGV[at + 1]) then
    redis.call('ZADD', leases, expires, ARGV[at])
    reply[#reply + 1] = 1
  else
    reply[#reply + 1] = 0
  end
end
return reply
