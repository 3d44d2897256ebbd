#!lua flags=allow-oom
-- reclaim: take over expired claims from workers that vanished; what they held becomes suspect.
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
-- KEYS[13] delayed     ZSET     keys.delayed
-- KEYS[14] waiting     ZSET     keys.waiting
-- KEYS[15] limits      HASH     keys.limits
-- KEYS[16] asking      ZSET     keys.asking
-- KEYS[17] control     CHANNEL  keys.control
-- KEYS[18] paused      ZSET     keys.paused
-- KEYS[19] paused_ready ZSET    keys.paused_ready
-- KEYS[20] waits       ZSET     keys.waits
-- KEYS[21..] pairs     STREAM, LIST   keys.stream(name), keys.queue_wake(queue): those the caller knows of
-- ARGV[1] most: claims to look at (each holds at most 100 messages); it stops after 100 messages
-- ARGV[2] lost_limit: starts that may end with their worker before a message is given up
-- ARGV[3] lease_ms: how long a message that is to be given up stays with the caller
-- ARGV[4] report: attempt report without its closing brace (JSON), the start of a line for the history
-- ARGV[5] stream_count: number of streams
-- ARGV[6..] their names
--
-- Returns {now ms, missing, reclaimed, exhausted, more}: missing: names of streams that the call must bring as well: call
--         again with them; more: 1 if there may be more, call again at once; exhausted: per message id, token, name, entry,
--         attempt, started ms, first started ms; settle them as DEAD with that token.
-- Budget: 100 messages, and the rest of one claim.
-- Moves:  claimed | running -> suspect (ready, but only for a child with empty hands) | waiting for its limit first
--         One that was revoked while held becomes suspect as any other, with mark x: it will not run again.
-- Role:   worker
-- Safe to repeat: yes. Clock: server. After a silence of all workers (see beat) it waits one more lease.
-- include: clock, held, missing, put_back, reports
local lost_limit, lease_ms, most = tonumber(args.lost_limit), tonumber(args.lease_ms), tonumber(args.most)
local MOST_MESSAGES = 100
local last_beat, hold_until = (redis.call('GET', keys.beat) or '0 0'):match('^(%d+) (%d+)$')
-- A silence that no beat has noticed yet counts as well: this call may have waited in a socket meanwhile.
if now < tonumber(hold_until) or now - tonumber(last_beat) > lease_ms / 2 then return { now, {}, 0, {}, 0 } end
local reclaimed, exhausted = 0, {}

-- take_over(id, token, consumer): take one message from an expired claim, unless it must stay there.
local function take_over(id, token, consumer)
  local line = redis.call('HGET', keys.state, id)
  if not held_by(line, token .. ' ') then return end
  local s = parse(line)
  if not brought(s.name) then return end
  local started = s.phase == 'R' or (s.phase == 'X' and s.started > 0)
  if started and s.lost + 1 >= lost_limit then
    for _, value in ipairs({ id, token, s.name, s.entry, s.attempts, int(s.started), int(s.first) }) do
      exhausted[#exhausted + 1] = value
    end
    return
  end
  keep_revoked(s)
  if started then
    s.lost = s.lost + 1
    redis.call('HSET', keys.history, id, with_report(id, args.report
      .. string.format(',"attempt":%d,"worker":"%s","started":%.0f}', s.attempts, consumer, s.started)))
  else
    s.attempts = s.attempts - 1
  end
  mark(s, 's', '1')
  if limit_of(s) then start_over(s, id, 0) else put_back(s, id) end
  reclaimed = reclaimed + 1
end

local expired = redis.call('ZRANGEBYSCORE', keys.leases, '-inf', int(now), 'LIMIT', 0, most)
local more, met = #expired == most and 1 or 0, 0
for _, token in ipairs(expired) do
  if met >= MOST_MESSAGES then
    more = 1
    break
  end
  local consumer = token:gsub('#%d+$', '')
  local given_up = #exhausted
  for id in (redis.call('HGET', keys.batches, token) or ''):gmatch(' (%S+)') do
    take_over(id, token, consumer)
    met = met + 1
  end
  if not release(token) and #exhausted > given_up then
    -- Until the caller has settled or asked again; not for ever, should it die meanwhile. One that only stays for a
    -- stream whose name is missing is asked for at once.
    redis.call('ZADD', keys.leases, int(now + lease_ms), token)
  end
end
write_left()
if reclaimed > 0 then redis.call('HINCRBY', keys.totals, 'RECLAIMED', reclaimed) end
return { now, missing, reclaimed, exhausted, more }
