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
-- KEYS[9] delayed      ZSET     keys.delayed
-- KEYS[10] control     CHANNEL  keys.control
-- KEYS[11] paused      ZSET     keys.paused
-- KEYS[12] paused_ready ZSET    keys.paused_ready
-- KEYS[13] waits       ZSET     keys.waits
-- KEYS[14..] pairs     STREAM, LIST   keys.stream(name), keys.queue_wake(queue): those the caller knows of
-- ARGV[1] most: limits to ask for, at most 100
-- ARGV[2] stream_count: number of streams
-- ARGV[3..] their names; then per grant 4 values: limit, number of its ask, tokens, us until the next one
--
-- Returns {now ms, missing, admitted, us until there is something to ask for (-1: nothing is), asks, more}
--         missing: names of streams that a grant needs and the call did not bring; more: 1 if there are grants that were
--         not looked at, because 100 messages had been: in both cases call again, with those streams and the same grants.
--         asks: per limit 5 values: name, interval us, burst, tokens wanted, number of the ask
-- Budget: 100 limits, 100 messages.
-- Moves:  waiting for its limit -> ready | suspect
-- Role:   worker
-- Safe to repeat: yes, a grant counts once, by its number. Clock: server.
-- include: clock, missing, limit, waiting, place
local most = tonumber(args.most)
local LOOK_US = 2000000
local LATE_MS = 1000 -- by then whoever claims it agrees, whatever its clock
local MOST_MESSAGES = 100
local admitted, looked_at, more = 0, 0, 0

-- look_at(limit, us): look at a limit at that time, us.
local function look_at(limit, us)
  redis.call('ZADD', keys.asking, int(math.ceil(us / 1000)), limit)
end

-- next_of(limit, room): the best messages of a limit that can go, at most so many; nil if the stream of one is missing. One
-- that has expired will not run, and the child that claims it only says so: it goes without a token.
local function next_of(limit, room)
  local found, whole, all_brought
  repeat
    found, whole, all_brought = {}, true, true
    for _, member in ipairs(heads(limit, room)) do
      local id = id_of_member(limit, member)
      local line = redis.call('HGET', keys.state, id)
      local s = line and parse(line)
      local expires = s and tonumber(mark_of(s, 'e'))
      looked_at = looked_at + 1
      if not s or s.phase ~= 'W' or redis.call('HEXISTS', keys.messages, id) == 0 then
        leave_waiting(member, s)
        whole = false
      elseif not brought(s.name) then
        all_brought = false
      elseif expires and expires + LATE_MS < now and looked_at <= MOST_MESSAGES then
        leave_waiting(member, s)
        mark(s, 'l', nil)
        mark(s, 'e', nil)
        mark(s, 's', nil)
        place(s, id, 0)
        whole = false
      else
        found[#found + 1] = { id = id, s = s, member = member }
      end
    end
  until whole
  return all_brought and found or nil
end

-- take_grant(limit, number, tokens, wait): use a grant.
local function take_grant(limit, number, tokens, wait)
  local of = read_limit(limit)
  if not of or number <= of.answered then return end
  if looked_at >= MOST_MESSAGES then
    more = 1
    return
  end
  if tokens == 0 then
    local burst = math.max(of.burst, at_once(of.interval))
    of.full_at = math.max(of.full_at, now_us + wait + (burst - 1 - count_out(of)) * of.interval)
  else
    local found = next_of(limit, math.max(0, math.min(tokens, most_out(of) - count_out(of))))
    if not found then return end
    for _, one in ipairs(found) do
      leave_waiting(one.member, one.s)
      place(one.s, one.id, 0, 'admitted')
      of.out = of.out .. ' ' .. one.id
      admitted = admitted + 1
    end
  end
  of.answered = number
  of.asked = math.max(of.asked, number)
  write_limit(limit, of)
  if of.asked == of.answered then look_at(limit, ask_at(of) or now_us + LOOK_US) end
end

-- check_out(limit, of): what was admitted must still be there, waiting to be claimed: else nobody would ever ask again.
local function check_out(limit, of)
  for id in of.out:gmatch('%S+') do
    local line = redis.call('HGET', keys.state, id)
    local s = line and parse(line)
    if not s or (s.phase ~= 'Q' and s.phase ~= 'S') or limit_of(s) ~= limit then take_out(of, id) end
  end
end

for at = args.more + stream_count, #ARGV, 4 do
  take_grant(ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]))
end
if #missing > 0 or more == 1 then return { now, missing, admitted, 0, {}, more } end

local asks = {}
for _, limit in ipairs(redis.call('ZRANGEBYSCORE', keys.asking, '-inf', int(now), 'LIMIT', 0, most)) do
  local of = read_limit(limit)
  local head = heads(limit, of and most_out(of) or 1)
  if not of and #head > 0 then -- removed by hand
    local line = redis.call('HGET', keys.state, id_of_member(limit, head[1]))
    local _, interval, burst = limit_of(line and parse(line) or { marks = '' })
    if interval then
      of = fresh_limit(interval, burst)
    else
      leave_waiting(head[1], line and parse(line))
    end
  end
  if not of then
    if #head == 0 then redis.call('ZREM', keys.asking, limit) end
  else
    bring_near(of)
    local due = ask_at(of)
    if of.out ~= '' and (not due or #head == 0) then
      check_out(limit, of)
      due = ask_at(of)
    end
    if #head == 0 and of.out == '' and of.full_at <= now_us then
      redis.call('HDEL', keys.limits, limit)
      redis.call('ZREM', keys.asking, limit)
    else
      if #head == 0 then
        look_at(limit, of.out == '' and math.min(of.full_at, now_us + 86400000000) or now_us + LOOK_US)
      elseif not due or due > now_us then
        look_at(limit, due or now_us + LOOK_US)
      else
        of.asked = of.asked + 1
        for _, value in ipairs({
          limit, int(of.interval), int(of.burst), math.min(#head, wanted(of)), of.asked,
        }) do
          asks[#asks + 1] = value
        end
        -- No answer until then: the keeper that asked has died, another one asks. That costs one token.
        look_at(limit, now_us + math.max(50000, math.min(of.interval, 1000000)))
      end
      write_limit(limit, of)
    end
  end
end
local first = redis.call('ZRANGE', keys.asking, 0, 0, 'WITHSCORES')
return { now, missing, admitted, first[2] and math.max(0, first[2] * 1000 - now_us) or -1, asks, 0 }
