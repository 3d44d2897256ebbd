#!lua
-- rewrite: replace the envelopes of messages that are held: what runs has changed its headers.
--
-- KEYS[1] messages     HASH     keys.messages
-- KEYS[2] state        HASH     keys.state
-- ARGV[1..] per message 3 values: id, token, envelope
--
-- The time of acceptance that stands before an envelope, and the zeros before it, stay.
--
-- Returns {code...}: 1 replaced, 0 not held by this token.
-- Budget: 100 messages, 512 KiB of envelopes and one more.
-- Moves:  nothing
-- Role:   worker
-- Safe to repeat: yes, by token. Clock: none.
-- include: held
local reply = {}
for at = args.more, #ARGV, 3 do
  local id = ARGV[at]
  local message = held_by(redis.call('HGET', keys.state, id), ARGV[at + 1] .. ' ') and redis.call('HGET', keys.messages, id)
  if message then
    redis.call('HSET', keys.messages, id, string.match(message, '^%w+ ') .. ARGV[at + 2])
    reply[#reply + 1] = 1
  else
    reply[#reply + 1] = 0
  end
end
return reply
