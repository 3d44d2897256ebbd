#!lua flags=allow-oom
-- mark_running: make the start of attempts visible that have run past their share.
--
-- KEYS[1] state        HASH     keys.state
-- KEYS[2] running      ZSET     keys.running
-- ARGV[1..] per attempt 3 values: id, token, ms since it started
--
-- Returns {now ms, code...}: 1 running now, 0 not held by this token.
-- Moves:  claimed -> running; one that was revoked while held (X) only gets its time
-- Safe to repeat: yes, by token. Clock: server.
-- include: clock, line
local state, running = KEYS[1], KEYS[2]
local now = now_ms()
local reply = { now }
for at = 1, #ARGV, 3 do
  local id, line = ARGV[at], redis.call('HGET', state, ARGV[at])
  if not held(line, ARGV[at + 1]) then
    reply[#reply + 1] = 0
  else
    local s = parse(line)
    if s.phase == 'C' then s.phase = 'R' end
    s.started = now - tonumber(ARGV[at + 2])
    if s.first == 0 then s.first = s.started end
    redis.call('HSET', state, id, format(s))
    redis.call('ZADD', running, int(s.started), id)
    reply[#reply + 1] = 1
  end
end
return reply
