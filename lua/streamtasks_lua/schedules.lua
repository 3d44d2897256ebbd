#!lua flags=no-writes
-- schedules: what is known of some schedules, by their names or in the order of names.
--
-- KEYS[1] schedules    HASH     keys.schedules
-- KEYS[2] states       HASH     keys.schedule_states
-- KEYS[3] names        ZSET     keys.schedule_names
-- ARGV[1] how many in the order of names, at most 100; 0: those that are named
-- ARGV[2] the name after which to go on; "": from the first
-- ARGV[3] size of the reply, bytes; then it holds no more
-- ARGV[4..] names
--
-- Returns {more, then per schedule 3 values: name, what it is, how far it is (see include/schedule.lua); two times "":
--         there is none of that name}. more: 1 the reply is full, ask again for the rest.
-- Moves:  nothing
-- Safe to repeat: yes. Clock: none.
local schedules, states, names = KEYS[1], KEYS[2], KEYS[3]
local most, after, room = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local wanted = {}
if most > 0 then
  wanted = redis.call('ZRANGEBYLEX', names, after == '' and '-' or '(' .. after, '+', 'LIMIT', 0, most)
else
  for at = 4, #ARGV do wanted[#wanted + 1] = ARGV[at] end
end
local reply = { 0 }
for _, name in ipairs(wanted) do
  if room <= 0 then
    reply[1] = 1
    break
  end
  local what = redis.call('HGET', schedules, name) or ''
  local n = #reply
  reply[n + 1], reply[n + 2], reply[n + 3] = name, what, redis.call('HGET', states, name) or ''
  room = room - #what
end
return reply
