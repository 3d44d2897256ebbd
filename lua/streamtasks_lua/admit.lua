#!lua flags=allow-oom
-- admit: let messages that wait for rate limits go on, as far as tokens were granted; say what to ask for next.
--
-- KEYS[1] waiting      ZSET     keys.waiting
-- KEYS[2] limits       HASH     keys.limits
-- KEYS[3] asking       ZSET     keys.asking
-- KEYS[4] messages     HASH     keys.messages
-- KEYS[5] state        HASH     keys.state
-- KEYS[6] ready        ZSET     keys.ready
-- KEYS[7] streams      ZSET     keys.streams
-- KEYS[8] wake         LIST     keys.wake
-- KEYS[9..] pairs      STREAM, LIST   keys.stream(name), keys.queue_wake(queue): those the caller knows of
-- ARGV[1] most limits to ask for, at most 100
-- ARGV[2] number of streams; then their names; then per grant 4 values: limit, number of its ask, tokens,
--         us until the next one
--
-- Returns {now ms, admitted, us until there is something to ask for (-1: nothing is), missing names, asks}
--         missing: stream names that a grant needs and the call did not bring; call again with the same grants.
--         asks: per limit 5 values: name, interval us, burst, tokens wanted, number of the ask
-- Moves:  waiting for its limit -> ready | suspect
-- Safe to repeat: yes, a grant counts once, by its number. Clock: server.
-- include: clock, line, streams, rate, limit
local waiting, limits, asking, messages = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local state, ready, streams, wake = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local most, stream_count = tonumber(ARGV[1]), tonumber(ARGV[2])
local by_name = given_streams(9, stream_count, 3)
local now, at_ms = now_us(), now_ms()
local of_limits = limiting()
local fresh_limit, read_limit, write_limit = of_limits.fresh_limit, of_limits.read_limit, of_limits.write_limit
local count_out, most_out, take_out = of_limits.count_out, of_limits.most_out, of_limits.take_out
local bring_near, ask_at = of_limits.bring_near, of_limits.ask_at
local id_of_member, heads = of_limits.id_of_member, of_limits.heads
local LOOK_US = 2000000
local LATE_MS = 1000 -- by then whoever claims it agrees, whatever its clock
local admitted, missing, named = 0, {}, {}

local function look_at(limit, us)
  redis.call('ZADD', asking, int(math.ceil(us / 1000)), limit)
end

-- One that has expired will not run: whoever claims it only says so. Nothing counts its start.
local function send_off(stream, s, id, member)
  mark(s, 'l', nil)
  mark(s, 'e', nil)
  mark(s, 's', nil)
  s.entry = '-'
  redis.call('ZREM', waiting, member)
  local line = idle_line(s, 'Q')
  if line then redis.call('HSET', state, id, line) else redis.call('HDEL', state, id) end
  append(streams, stream, s.name, id)
  make_ready(ready, wake, stream, s.name)
end

-- The best messages of a limit that can go, at most so many; false if the stream of one is missing.
local function next_of(limit, room)
  local found, whole
  local expired = 0
  repeat
    found, whole = {}, true
    for _, member in ipairs(heads(waiting, limit, room)) do
      local id = id_of_member(limit, member)
      local line = redis.call('HGET', state, id)
      local s = line and parse(line)
      if not s or s.phase ~= 'W' or redis.call('HEXISTS', messages, id) == 0 then
        redis.call('ZREM', waiting, member)
        whole = false
      else
        local expires = tonumber(mark_of(s, 'e'))
        if by_name[s.name] and expires and expires + LATE_MS < at_ms and expired < 100 then
          expired = expired + 1
          send_off(by_name[s.name], s, id, member)
          whole = false
        else
          found[#found + 1] = { id = id, s = s, member = member }
        end
        if not by_name[s.name] and not named[s.name] then
          named[s.name] = true
          missing[#missing + 1] = s.name
        end
      end
    end
  until whole
  for _, one in ipairs(found) do
    if not by_name[one.s.name] then return false end
  end
  return found
end

local function take_grant(limit, number, tokens, wait)
  local of = read_limit(limits, limit)
  if not of or number <= of.answered then return end
  if tokens == 0 then
    local burst = math.max(of.burst, at_once(of.interval))
    of.full_at = math.max(of.full_at, now + wait + (burst - 1 - count_out(of)) * of.interval)
  else
    local found = next_of(limit, math.max(0, math.min(tokens, most_out(of) - count_out(of))))
    if not found then return end
    for _, one in ipairs(found) do
      local s, stream = one.s, by_name[one.s.name]
      local suspect = mark_of(s, 's')
      mark(s, 's', nil)
      s.entry = '-'
      redis.call('ZREM', waiting, one.member)
      redis.call('HSET', state, one.id, idle_line(s, suspect and 'S' or 'Q'))
      append(streams, stream, s.name, one.id)
      make_ready(ready, wake, stream, s.name)
      of.out = of.out .. ' ' .. one.id
      admitted = admitted + 1
    end
  end
  of.answered = number
  of.asked = math.max(of.asked, number)
  write_limit(limits, limit, of)
  if of.asked == of.answered then look_at(limit, ask_at(of, now) or now + LOOK_US) end
end

-- Whoever was admitted must still be there, waiting to be claimed: else nobody would ever ask again.
local function check_out(limit, of)
  for id in of.out:gmatch('%S+') do
    local line = redis.call('HGET', state, id)
    local s = line and parse(line)
    if not s or (s.phase ~= 'Q' and s.phase ~= 'S') or limit_of(s) ~= limit then take_out(of, id) end
  end
end

for at = 3 + stream_count, #ARGV, 4 do
  take_grant(ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]))
end
if #missing > 0 then return { at_ms, admitted, 0, missing, {} } end

local asks = {}
for _, limit in ipairs(redis.call('ZRANGEBYSCORE', asking, '-inf', int(at_ms), 'LIMIT', 0, most)) do
  local of = read_limit(limits, limit)
  local head = heads(waiting, limit, of and most_out(of) or 1)
  if not of and #head > 0 then -- removed by hand
    local line = redis.call('HGET', state, id_of_member(limit, head[1]))
    local _, interval, burst = limit_of(line and parse(line) or { marks = '' })
    if interval then
      of = fresh_limit(interval, burst)
    else
      redis.call('ZREM', waiting, head[1])
    end
  end
  if not of then
    if #head == 0 then redis.call('ZREM', asking, limit) end
  else
    bring_near(of, now)
    local due = ask_at(of, now)
    if of.out ~= '' and (not due or #head == 0) then
      check_out(limit, of)
      due = ask_at(of, now)
    end
    if #head == 0 and of.out == '' and of.full_at <= now then
      redis.call('HDEL', limits, limit)
      redis.call('ZREM', asking, limit)
    else
      if #head == 0 then
        look_at(limit, of.out == '' and math.min(of.full_at, now + 86400000000) or now + LOOK_US)
      elseif not due or due > now then
        look_at(limit, due or now + LOOK_US)
      else
        of.asked = of.asked + 1
        for _, value in ipairs({
          limit, int(of.interval), int(of.burst), math.min(#head, most_out(of) - count_out(of)), of.asked,
        }) do
          asks[#asks + 1] = value
        end
        -- No answer until then: whoever asked has died, another keeper asks. That costs one token.
        look_at(limit, now + math.max(50000, math.min(of.interval, 1000000)))
      end
      write_limit(limits, limit, of)
    end
  end
end
local first = redis.call('ZRANGE', asking, 0, 0, 'WITHSCORES')
return { at_ms, admitted, first[2] and math.max(0, first[2] * 1000 - now) or -1, missing, asks }
