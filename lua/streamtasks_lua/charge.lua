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
-- KEYS[17] paused      ZSET     keys.paused
-- KEYS[18] paused_ready ZSET    keys.paused_ready
-- KEYS[19] waits       ZSET     keys.waits
-- KEYS[20..] pairs     STREAM, LIST   keys.stream(name), keys.queue_wake(queue)
-- ARGV[1] crash_limit: so many crashes end in a dead letter
-- ARGV[2] delay_ms: after every crash but the first
-- ARGV[3] stream_count: number of streams
-- ARGV[4..] their names; then per attempt 4 values: id, token, started ms, attempt report (one line of JSON)
--
-- Returns {now ms, code...}: 1 runs again at once, or when its rate limit lets it, 2 runs again after the delay,
--         3 the limit is reached (settle it as DEAD with the same token), 0 not held by this token.
-- Budget: 100 attempts.
-- Moves:  running | claimed -> ready, at the old place | waiting for its limit, before the others |
--         delayed (from where it comes back as a suspect)
--         One that was revoked while held goes back at once, with mark x: it will not run again. The limit holds for it
--         as well, because its holder may have died of what belongs to its outcome.
-- Role:   worker
-- Safe to repeat: yes, by token. Clock: server.
-- include: clock, held, put_back, reports
local reply, tokens = { now }, {}
for at = args.more + stream_count, #ARGV, 4 do
  local id, token, started, report = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2]), ARGV[at + 3]
  local line = redis.call('HGET', keys.state, id)
  local s = held_by(line, token .. ' ') and parse(line)
  local code = 0
  if s and by_name[s.name] then
    code = s.crashes + 1 >= tonumber(args.crash_limit) and 3 or s.crashes == 0 and 1 or 2
  end
  if code == 1 or code == 2 then
    tokens[token] = true
    s.crashes, s.settled = s.crashes + 1, s.token
    if s.first == 0 then s.first = started end
    redis.call('HSET', keys.history, id, with_report(id, report))
    if keep_revoked(s) then code = 1 end
    if code == 1 and not limit_of(s) then
      put_back(s, id)
    else
      start_over(s, id, code == 1 and 0 or now + args.delay_ms)
    end
    redis.call('HINCRBY', keys.totals, 'CRASH', 1)
  end
  reply[#reply + 1] = code
end
write_left()
for token in pairs(tokens) do release(token) end
return reply
