#!lua flags=allow-oom
-- progress: store what running attempts say of their progress; the last word wins.
--
-- KEYS[1] state        HASH     keys.state
-- KEYS[2] progress     HASH     keys.progress
-- KEYS[3] news         CHANNEL  keys.news; one of sixteen by the id: ":" and a hexadecimal digit follow
-- ARGV[1..] per attempt 3 values: id, token, progress (JSON)
--
-- Returns {code...}: 1 stored, 0 not held by this token.
-- Moves:  nothing
-- Safe to repeat: yes, by token. Clock: none.
-- include: line, tell
local state, progress, news = KEYS[1], KEYS[2], KEYS[3]
local reply = {}
for at = 1, #ARGV, 3 do
  if held(redis.call('HGET', state, ARGV[at]), ARGV[at + 1]) then
    redis.call('HSET', progress, ARGV[at], ARGV[at + 2])
    tell(news, ARGV[at])
    reply[#reply + 1] = 1
  else
    reply[#reply + 1] = 0
  end
end
return reply
