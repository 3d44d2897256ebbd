#!lua flags=no-writes
-- revocations: tell which of these held messages have been revoked meanwhile.
--
-- KEYS[1] state        HASH     keys.state
-- ARGV[1..] per message 2 values: id, token
--
-- Returns {word...}: per message "revoked" (let it end), "terminate" (end it), or "": go on, or not held by this token.
-- Budget: 100 messages.
-- Moves:  nothing
-- Role:   worker
-- Safe to repeat: yes. Clock: none.
-- include: line, held
local reply = {}
for at = args.more, #ARGV, 2 do
  local line = redis.call('HGET', keys.state, ARGV[at])
  local s = held_by(line, ARGV[at + 1] .. ' ') and parse(line)
  reply[#reply + 1] = s and s.phase == 'X' and mark_of(s, 'x') or ''
end
return reply
