#!lua flags=allow-oom
-- mark_running: make the start of attempts visible that have run past their share.
--
-- KEYS[1] state        HASH     keys.state
-- KEYS[2] running      ZSET     keys.running
-- KEYS[3] news         CHANNEL  keys.news; one of sixteen by the id: ":" and a hexadecimal digit follow
-- KEYS[4] events       STREAM   keys.events
-- KEYS[5] watchers     STRING   keys.watchers
-- ARGV[1] events_kept: how many, 0: none are written
-- ARGV[2..] per attempt 3 values: id, token, ms since it started
--
-- Returns {now ms, code...}: 1 running now, 0 not held by this token.
-- Budget: 100 attempts.
-- Moves:  claimed -> running; one that was revoked while held (X) only gets its time
-- Role:   worker
-- Safe to repeat: yes, by token. Clock: server.
-- include: clock, line, held, channel, events
local reply = { now }
for at = args.more, #ARGV, 3 do
  local id, line = ARGV[at], redis.call('HGET', keys.state, ARGV[at])
  if not held_by(line, ARGV[at + 1] .. ' ') then
    reply[#reply + 1] = 0
  else
    local s = parse(line)
    if s.phase == 'C' then s.phase = 'R' end
    s.started = now - tonumber(ARGV[at + 2])
    if s.first == 0 then s.first = s.started end
    redis.call('HSET', keys.state, id, format(s))
    redis.call('ZADD', keys.running, int(s.started), id)
    publish(keys.news, id)
    note('started', id, s.token:gsub('#%d+$', ''))
    reply[#reply + 1] = 1
  end
end
write_events()
return reply
