#!lua flags=allow-oom
-- hand_back: return claimed messages to their places, uncharged; optionally void a consumer's last claim.
--
-- KEYS[1] state        HASH     keys.state
-- KEYS[2] leases       ZSET     keys.leases
-- KEYS[3] running      ZSET     keys.running
-- KEYS[4] ready        ZSET     keys.ready
-- KEYS[5] wake         LIST     keys.wake
-- KEYS[6] claim        STRING   keys.claim(consumer) of the consumer in ARGV[1]
-- KEYS[7] messages     HASH     keys.messages
-- KEYS[8] streams      ZSET     keys.streams
-- KEYS[9] progress     HASH     keys.progress
-- KEYS[10] batches     HASH     keys.batches
-- KEYS[11] waiting     ZSET     keys.waiting
-- KEYS[12] limits      HASH     keys.limits
-- KEYS[13] asking      ZSET     keys.asking
-- KEYS[14] control     CHANNEL  keys.control
-- KEYS[15..] pairs      STREAM, LIST   keys.stream(name), keys.queue_wake(queue)
-- ARGV[1] consumer whose last claim is void, or ""
-- ARGV[2] a claim sequence, the last that was sent: what it took is handed back, and it returns nothing from now on
-- ARGV[3] 1: the consumer is gone, its sequence is soon forgotten
-- ARGV[4] number of streams; then their names; then per message 3 values: id, token, and 1 if only a child with nothing
--         else in hand may get it
--
-- Returns {now ms, missing names, code...}: 1 handed back, 0 not held by this token;
--         missing: an array of stream names that the call must bring as well (nothing of those was touched).
-- Moves:  claimed | running -> ready | suspect, at the old place; running, with a rate limit -> waiting for it, before the
--         others
--         One that was revoked while held goes back to its place with mark x.
-- Safe to repeat: yes, by token. Clock: server.
-- include: clock, line, streams, batch, rate, limit
local state, leases, running, ready, wake = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local claim, messages, streams, progress, batches = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local consumer, seq, stream_count = ARGV[1], ARGV[2], tonumber(ARGV[4])
local by_name = given_streams(15, stream_count, 5)
local now, missing, reply = now_ms(), {}, {}

local limit_keys = { state = state, waiting = KEYS[11], limits = KEYS[12], asking = KEYS[13], control = KEYS[14] }

local function give_back(id, token, unstarted, alone)
  local line = redis.call('HGET', state, id)
  if not held(line, token) then return 0 end
  local s = parse(line)
  local stream = by_name[s.name]
  if not stream then
    missing[#missing + 1] = s.name
    return 0
  end
  s.attempts = s.attempts - 1
  keep_doom(s)
  redis.call('ZREM', running, id)
  redis.call('HDEL', progress, id)
  if s.marks ~= '' and limit_of(s) then
    if s.phase == 'R' and not unstarted then -- its next start is another one
      drop_entry(stream, s)
      if alone then mark(s, 's', '1') end
      limiting().wait_for_limit(limit_keys, s, id, true)
      return 1
    end
    limiting().keep_token(limit_keys.limits, s, id)
  end
  put_back(messages, streams, stream, s, id, alone and 'suspect' or 'returned')
  local rest = idle_line(s, alone and 'S' or 'Q')
  if rest then redis.call('HSET', state, id, rest) else redis.call('HDEL', state, id) end
  make_ready(ready, wake, stream, s.name)
  return 1
end

local tokens = {}
for at = 5 + stream_count, #ARGV, 3 do
  tokens[ARGV[at + 1]] = true
  reply[#reply + 1] = give_back(ARGV[at], ARGV[at + 1], false, ARGV[at + 2] == '1')
end
if consumer ~= '' then
  local token = consumer .. '#' .. seq
  tokens[token] = true
  for id in (redis.call('HGET', batches, token) or ''):gmatch(' (%S+)') do give_back(id, token, true) end
  if #missing == 0 then
    local last = (redis.call('GET', claim) or '0'):match('^%d+')
    -- A later claim means that the child knows already: it has read its board and gone on.
    if tonumber(last) <= tonumber(seq) then
      -- Of a dead child a claim may still lie in a socket, for a while.
      redis.call('SET', claim, seq .. ' void', 'PX', ARGV[3] == '1' and 600000 or 86400000)
    end
    -- It may have died with a token of the wake list in its hands.
    if ARGV[3] == '1' and redis.call('ZCARD', ready) > 0 then ring(wake) end
  end
end
for token in pairs(tokens) do release(batches, leases, state, token, 0) end
return { now, missing, unpack(reply) }
