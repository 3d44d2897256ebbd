#!lua flags=no-writes
-- schedules: what is known of some schedules, by their names or in the order of names.
--
-- KEYS[1] schedules    HASH     keys.schedules
-- KEYS[2] states       HASH     keys.schedule_states
-- KEYS[3] names        ZSET     keys.schedule_names
-- ARGV[1] most: how many in the order of names, at most 100; 0: those that are named
-- ARGV[2] after: the name after which to go on; "": from the first
-- ARGV[3] most_bytes: size of the reply; then it holds no more
-- ARGV[4..] names
--
-- Returns {more, then per schedule 3 values: name, what it is, how far it is (see include/schedule.lua); two times "":
--         there is none of that name}. more: 1 the reply is full, ask again for the rest.
-- Budget: 100 schedules, 512 KiB of them and one more.
-- Moves:  nothing
-- Role:   monitor
-- Safe to repeat: yes. Clock: none.
local most, after, room = tonumber(args.most), args.after, tonumber(args.most_bytes)
local wanted = {}
if most > 0 then
  wanted = redis.call('ZRANGEBYLEX', keys.names, after == '' and '-' or '(' .. after, '+', 'LIMIT', 0, most)
else
  for at = args.more, #ARGV do wanted[#wanted + 1] = ARGV[at] end
end
local reply = { 0 }
for _, name in ipairs(wanted) do
  if room <= 0 then
    reply[1] = 1
    break
  end
  local what = redis.call('HGET', keys.schedules, name) or ''
  local n = #reply
  reply[n + 1], reply[n + 2], reply[n + 3] = name, what, redis.call('HGET', keys.states, name) or ''
  room = room - #what
end
return reply
