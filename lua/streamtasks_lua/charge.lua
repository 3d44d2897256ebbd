#!lua flags=allow-oom
-- charge: a child died while these attempts ran in it; count a crash against each.
--
-- KEYS[1] state        HASH     keys.state
-- KEYS[2] leases       ZSET     keys.leases
-- KEYS[3] running      ZSET     keys.running
-- KEYS[4] ready        ZSET     keys.ready
-- KEYS[5] wake         LIST     keys.wake
-- KEYS[6] delayed      ZSET     keys.delayed
-- KEYS[7] control      CHANNEL  keys.control
-- KEYS[8] history      HASH     keys.history
-- KEYS[9] totals       HASH     keys.totals
-- KEYS[10] progress    HASH     keys.progress
-- KEYS[11] messages    HASH     keys.messages
-- KEYS[12] streams     ZSET     keys.streams
-- KEYS[13] batches     HASH     keys.batches
-- KEYS[14] waiting     ZSET     keys.waiting
-- KEYS[15] limits      HASH     keys.limits
-- KEYS[16] asking      ZSET     keys.asking
-- KEYS[17..] pairs     STREAM, LIST   keys.stream(name), keys.queue_wake(queue)
-- ARGV[1] crashes that end in a dead letter
-- ARGV[2] delay after every crash but the first, ms
-- ARGV[3] number of streams; then their names; then per attempt 4 values:
--         id, token, started ms, attempt report (one line of JSON)
--
-- Returns {now ms, code...}: 1 runs again at once, or when its rate limit lets it, 2 runs again after the delay,
--         3 the limit is reached (settle it as DEAD with the same token), 0 not held by this token.
-- Moves:  running | claimed -> ready, at the old place | waiting for its limit, before the others |
--         delayed (from where it comes back as a suspect)
--         One that was revoked while held goes back at once, with mark x: it will not run again. The limit holds for it
--         as well, because its holder may have died of what belongs to its outcome.
-- Safe to repeat: yes, by token. Clock: server.
-- include: clock, line, streams, delay, batch, rate, limit
local state, leases, running, ready, wake = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local delayed, control, history, totals = KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local progress, messages, streams, batches = KEYS[10], KEYS[11], KEYS[12], KEYS[13]
local limit, delay_ms, stream_count = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local by_name = given_streams(17, stream_count, 4)
local limit_keys = { state = state, waiting = KEYS[14], limits = KEYS[15], asking = KEYS[16], control = control }
local now = now_ms()
local reply, tokens = { now }, {}
for at = 4 + stream_count, #ARGV, 4 do
  local id, token, started, report = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2]), ARGV[at + 3]
  local line = redis.call('HGET', state, id)
  local s = held(line, token) and parse(line)
  local stream = s and by_name[s.name]
  if not stream then
    reply[#reply + 1] = 0
  elseif s.crashes + 1 >= limit then
    reply[#reply + 1] = 3
  else
    s.crashes, s.settled = s.crashes + 1, s.token
    if s.first == 0 then s.first = started end
    redis.call('HSET', history, id, (redis.call('HGET', history, id) or '') .. report .. '\n')
    local revoked = keep_doom(s)
    if s.crashes == 1 and limit_of(s) then
      drop_entry(stream, s)
      limiting().wait_for_limit(limit_keys, s, id, true)
      reply[#reply + 1] = 1
    elseif s.crashes == 1 or revoked then
      put_back(messages, streams, stream, s, id, 'returned')
      redis.call('HSET', state, id, idle_line(s, 'Q'))
      make_ready(ready, wake, stream, s.name)
      reply[#reply + 1] = 1
    else
      drop_entry(stream, s)
      redis.call('HSET', state, id, idle_line(s, 'D'))
      park(delayed, control, id, now + delay_ms)
      reply[#reply + 1] = 2
    end
    redis.call('ZREM', running, id)
    redis.call('HDEL', progress, id)
    redis.call('HINCRBY', totals, 'CRASH', 1)
    tokens[token] = true
  end
end
for token in pairs(tokens) do release(batches, leases, state, token, 0) end
return reply
