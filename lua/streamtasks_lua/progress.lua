#!lua flags=allow-oom
-- progress: store the progress that running attempts report; the last report counts.
--
-- KEYS[1] state        HASH     keys.state
-- KEYS[2] progress     HASH     keys.progress
-- KEYS[3] news         CHANNEL  keys.news; one of sixteen by the id: ":" and a hexadecimal digit follow
-- ARGV[1..] per attempt 3 values: id, token, progress (JSON)
--
-- Returns {code...}: 1 stored, 0 not held by this token.
-- Budget: 100 reports.
-- Moves:  nothing
-- Role:   worker
-- Safe to repeat: yes, by token. Clock: none.
-- include: held, channel
local reply = {}
for at = args.more, #ARGV, 3 do
  if held_by(redis.call('HGET', keys.state, ARGV[at]), ARGV[at + 1] .. ' ') then
    redis.call('HSET', keys.progress, ARGV[at], ARGV[at + 2])
    publish(keys.news, ARGV[at])
    reply[#reply + 1] = 1
  else
    reply[#reply + 1] = 0
  end
end
return reply
