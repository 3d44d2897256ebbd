#!lua flags=allow-oom
-- reclaim: take expired claims from workers that vanished; what they held becomes suspect.
--
-- KEYS[1] leases       ZSET     keys.leases
-- KEYS[2] state        HASH     keys.state
-- KEYS[3] running      ZSET     keys.running
-- KEYS[4] ready        ZSET     keys.ready
-- KEYS[5] wake         LIST     keys.wake
-- KEYS[6] beat         STRING   keys.beat
-- KEYS[7] messages     HASH     keys.messages
-- KEYS[8] streams      ZSET     keys.streams
-- KEYS[9] totals       HASH     keys.totals
-- KEYS[10] history     HASH     keys.history
-- KEYS[11] progress    HASH     keys.progress
-- KEYS[12] batches     HASH     keys.batches
-- KEYS[13] waiting     ZSET     keys.waiting
-- KEYS[14] limits      HASH     keys.limits
-- KEYS[15] asking      ZSET     keys.asking
-- KEYS[16] control     CHANNEL  keys.control
-- KEYS[17..] pairs     STREAM, LIST   keys.stream(name), keys.queue_wake(queue): those the caller knows of
-- ARGV[1] most claims to look at (each holds at most 100 messages); it stops after 100 messages
-- ARGV[2] starts that may end with their worker before a message is given up
-- ARGV[3] lease, ms: how long a message that is to be given up stays with the caller
-- ARGV[4] attempt report without its closing brace (JSON): the start of a line for the history
-- ARGV[5] number of streams; then their names
--
-- Returns {now ms, reclaimed, missing names, exhausted, more}: more: 1 if there may be more, call again at once;
--         exhausted: per message id, token, name, entry, attempt, started ms, first started ms; settle them as DEAD with
--         that token.
-- Moves:  claimed | running -> suspect (ready, but only for a child with empty hands) | waiting for its limit first
--         One that was revoked while held becomes suspect as any other, with mark x: it will not run again.
-- Safe to repeat: yes. Clock: server. After a silence of all workers (see beat) it waits one more lease.
-- include: clock, line, streams, rate, limit
local leases, state, running, ready, wake = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local beat, messages, streams, totals, history = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local progress, batches = KEYS[11], KEYS[12]
local lost_limit, lease_ms = tonumber(ARGV[2]), tonumber(ARGV[3])
local by_name = given_streams(17, tonumber(ARGV[5]), 6)
local limit_keys = { state = state, waiting = KEYS[13], limits = KEYS[14], asking = KEYS[15], control = KEYS[16] }
local now = now_ms()
local last_beat, hold_until = (redis.call('GET', beat) or '0 0'):match('^(%d+) (%d+)$')
-- A silence that no beat has noticed yet counts as well: this call may have waited in a socket meanwhile.
if now < tonumber(hold_until) or now - tonumber(last_beat) > lease_ms / 2 then return { now, 0, {}, {}, 0 } end
local reclaimed, missing, asked, exhausted, more = 0, {}, {}, {}, 0

-- Take one message from an expired claim; return true if the claim must stay for it.
local function take_over(id, token, consumer)
  local line = redis.call('HGET', state, id)
  if not held(line, token) then return false end
  local s = parse(line)
  local stream = by_name[s.name]
  if not stream then
    if not asked[s.name] then
      asked[s.name] = true
      missing[#missing + 1] = s.name
    end
    return true
  end
  local started = s.phase == 'R' or (s.phase == 'X' and s.started > 0)
  if started and s.lost + 1 >= lost_limit then
    for _, value in ipairs({ id, token, s.name, s.entry, s.attempts, int(s.started), int(s.first) }) do
      exhausted[#exhausted + 1] = value
    end
    return true
  end
  keep_doom(s)
  if started then
    s.lost = s.lost + 1
    redis.call('HSET', history, id, (redis.call('HGET', history, id) or '') .. ARGV[4]
      .. string.format(',"attempt":%d,"worker":"%s","started":%.0f}\n', s.attempts, consumer, s.started))
  else
    s.attempts = s.attempts - 1
  end
  redis.call('ZREM', running, id)
  redis.call('HDEL', progress, id)
  if limit_of(s) then
    drop_entry(stream, s)
    mark(s, 's', '1')
    limiting().wait_for_limit(limit_keys, s, id, true)
  else
    put_back(messages, streams, stream, s, id, 'suspect')
    redis.call('HSET', state, id, idle_line(s, 'S'))
    make_ready(ready, wake, stream, s.name)
  end
  reclaimed = reclaimed + 1
  return false
end

local expired = redis.call('ZRANGEBYSCORE', leases, '-inf', int(now), 'LIMIT', 0, tonumber(ARGV[1]))
if #expired == tonumber(ARGV[1]) then more = 1 end
for _, token in ipairs(expired) do
  if reclaimed >= 100 then
    more = 1
    break
  end
  local consumer = token:gsub('#%d+$', '')
  local stays, given_up = false, #exhausted
  for id in (redis.call('HGET', batches, token) or ''):gmatch(' (%S+)') do
    if take_over(id, token, consumer) then stays = true end
  end
  if stays then
    -- Until the caller has settled or asked again; not for ever, should it die meanwhile. One that only stays for a
    -- stream whose name is missing is asked for at once.
    if #exhausted > given_up then redis.call('ZADD', leases, int(now + lease_ms), token) end
  else
    redis.call('ZREM', leases, token)
    redis.call('HDEL', batches, token)
  end
end
if reclaimed > 0 then redis.call('HINCRBY', totals, 'RECLAIMED', reclaimed) end
return { now, reclaimed, missing, exhausted, more }
