#!lua flags=no-writes
-- standing: what decides when an unfinished message is claimed.
--
-- KEYS[1] messages     HASH     keys.messages
-- KEYS[2] state        HASH     keys.state
-- KEYS[3] leases       ZSET     keys.leases
-- KEYS[4] ready        ZSET     keys.ready
-- KEYS[5] asking       ZSET     keys.asking
-- KEYS[6] waiting      ZSET     keys.waiting
-- KEYS[7] beat         STRING   keys.beat
-- KEYS[8] stream       STREAM   keys.stream(name)
-- ARGV[1] id: of the message
-- ARGV[2] name: of its stream, as its state line has it, or its envelope
-- ARGV[3] enqueued: when it was enqueued, ms: its place in the stream if there is no state line
-- ARGV[4] most: messages before it that are counted at most
-- ARGV[5] most_better: names of better streams at most
--
-- Returns {now ms, state line or "", when its lease ends or "", when its limit is looked at next or "", beat or "",
--         how many wait for its limit before it, how many come before it in its stream, name of a better stream...};
--         {} if it is not unfinished. What others hold counts as if it came first in the stream.
-- Budget: one message; 1,000 entries and 1,000 members that come before it.
-- Moves:  nothing
-- Role:   monitor
-- Safe to repeat: yes. Clock: server.
-- include: clock, line, group, nobody
local most = tonumber(args.most)
if redis.call('HEXISTS', keys.messages, args.id) == 0 then return {} end
local line = redis.call('HGET', keys.state, args.id) or ''
local s = line ~= '' and parse(line) or new_line(args.name, 'Q')
local priority = tonumber(args.name:match('^(-?%d+):') or 0)
-- held(): how many entries somebody holds.
local function held()
  local pending = redis.pcall('XPENDING', keys.stream, GROUP)
  if pending.err then return 0 end
  local count = pending[1]
  for _, of in ipairs(pending[4] or {}) do
    if is_nobody(of[1]) then count = count - of[2] end
  end
  return count
end
-- own_entry(): its entry, if no state line tells it: one of those that came when it was enqueued.
local function own_entry()
  for _, entry in ipairs(redis.call('XRANGE', keys.stream, args.enqueued .. '-0', '+', 'COUNT', 101)) do
    if entry[2][2] == args.id then return entry[1] end
  end
  return args.enqueued .. '-0'
end
-- ahead(): how many that nobody holds come before it.
local function ahead()
  if s.phase ~= 'Q' and s.phase ~= 'S' then return 0 end
  local own = s.entry ~= '-' and s.entry or own_entry()
  local before = redis.call('XRANGE', keys.stream, '-', '(' .. own, 'COUNT', most + 1)
  return math.max(0, math.min(most, #before - held()))
end
local limit = (mark_of(s, 'l') or ''):match('^%d+,%d+,(.+)$')
local limit_ahead, asked = 0, ''
if limit then
  asked = redis.call('ZSCORE', keys.asking, limit) or ''
  if s.phase == 'W' then
    local member = limit .. '\0' .. string.format('%03d', 100 - priority) .. '\0' .. s.entry .. '\0' .. args.id
    limit_ahead = #redis.call('ZRANGEBYLEX', keys.waiting, '[' .. limit .. '\0', '(' .. member, 'LIMIT', 0, most)
  end
end
local reply = {
  now, line, s.token ~= '-' and redis.call('ZSCORE', keys.leases, s.token) or '', asked,
  redis.call('GET', keys.beat) or '', limit_ahead, ahead(),
}
for _, name in ipairs(redis.call('ZREVRANGE', keys.ready, 0, args.most_better - 1)) do
  if tonumber(name:match('^(-?%d+):') or 0) > priority then reply[#reply + 1] = name end
end
return reply
