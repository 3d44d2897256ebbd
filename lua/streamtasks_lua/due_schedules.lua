#!lua flags=no-writes
-- due_schedules: schedules that are to be fired now, the longest due first.
--
-- KEYS[1] schedules    HASH     keys.schedules
-- KEYS[2] scheduled    ZSET     keys.scheduled
-- ARGV[1] most: schedules, at most 100
-- ARGV[2] most_bytes: size of the reply; then it holds no more
-- ARGV[3] passed: a line per schedule to pass over: revision, name; one of another revision is not passed over. In one
--         argument, because there may be any number of them
--
-- Returns {now ms, ms until the next one is due (-1: there is none, 0: there are more now), then per schedule 3 values:
--         name, what it is (see include/schedule.lua), its due occurrence in ms}.
-- Budget: 100 schedules, 512 KiB of them and one more.
-- Moves:  nothing
-- Role:   worker
-- Safe to repeat: yes. Clock: server.
-- include: clock
local most, room = tonumber(args.most), tonumber(args.most_bytes)
local passed, passed_count = {}, 0
for revision, name in args.passed:gmatch('(%d+) ([^\n]+)') do passed[name], passed_count = revision, passed_count + 1 end
local reply, count = { now, -1 }, 0
local head = redis.call('ZRANGE', keys.scheduled, 0, most + passed_count, 'WITHSCORES')
for at = 1, #head, 2 do
  local name, next_ms = head[at], tonumber(head[at + 1])
  local what = redis.call('HGET', keys.schedules, name)
  if what and not (passed[name] and what:match('^%d+') == passed[name]) then
    if next_ms > now or count == most or room <= 0 then
      reply[2] = math.max(0, next_ms - now)
      break
    end
    local n = #reply
    reply[n + 1], reply[n + 2], reply[n + 3] = name, what, next_ms
    count, room = count + 1, room - #what
  end
end
return reply
