#!lua flags=allow-oom
-- hand_back: return claimed messages to their places, uncharged; optionally void a consumer's last claim.
--
-- KEYS[1] state        HASH     keys.state
-- KEYS[2] leases       ZSET     keys.leases
-- KEYS[3] running      ZSET     keys.running
-- KEYS[4] ready        ZSET     keys.ready
-- KEYS[5] wake         LIST     keys.wake
-- KEYS[6] messages     HASH     keys.messages
-- KEYS[7] streams      ZSET     keys.streams
-- KEYS[8] progress     HASH     keys.progress
-- KEYS[9] batches      HASH     keys.batches
-- KEYS[10] delayed     ZSET     keys.delayed
-- KEYS[11] waiting     ZSET     keys.waiting
-- KEYS[12] limits      HASH     keys.limits
-- KEYS[13] asking      ZSET     keys.asking
-- KEYS[14] control     CHANNEL  keys.control
-- KEYS[15] paused      ZSET     keys.paused
-- KEYS[16] paused_ready ZSET    keys.paused_ready
-- KEYS[17] waits       ZSET     keys.waits
-- KEYS[18] last_claim  STRING   keys.claim(consumer) of the consumer in ARGV[1]
-- KEYS[19..] pairs     STREAM, LIST   keys.stream(name), keys.queue_wake(queue)
-- ARGV[1] consumer: whose last claim is void, or ""
-- ARGV[2] sequence: of its last claim that was sent: what it took is handed back, and it returns nothing from now on
-- ARGV[3] gone: 1: the consumer is gone, its sequence is soon forgotten
-- ARGV[4] stream_count: number of streams
-- ARGV[5..] their names; then per message 3 values: id, token, and 1 if only a child with nothing else in hand may get it
--
-- Returns {now ms, missing, code...}: 1 handed back, 0 not held by this token; missing: names of streams that the call
--         must bring as well (nothing of those was touched): call again with them.
-- Budget: 100 messages, and those of one claim.
-- Moves:  claimed | running -> ready | suspect, at the old place; running, with a rate limit -> waiting for it, before the
--         others
--         One that was revoked while held goes back to its place with mark x.
-- Role:   worker
-- Safe to repeat: yes, by token. Clock: server.
-- include: clock, held, missing, put_back
-- give_back(id, token, unstarted, alone): 1 done, 0 not held by this token, or its stream is missing.
local function give_back(id, token, unstarted, alone)
  local line = redis.call('HGET', keys.state, id)
  if not held_by(line, token .. ' ') then return 0 end
  local s = parse(line)
  if not brought(s.name) then return 0 end
  s.attempts = s.attempts - 1
  if alone then mark(s, 's', '1') end
  keep_revoked(s)
  if not limit_of(s) then
    put_back(s, id)
  elseif s.phase == 'R' and not unstarted then
    start_over(s, id, 0) -- its next start is another one
  else
    waiting_set().keep_token(s, id)
    put_back(s, id)
  end
  return 1
end

local tokens, codes = {}, {}
for at = args.more + stream_count, #ARGV, 3 do
  tokens[ARGV[at + 1]] = true
  codes[#codes + 1] = give_back(ARGV[at], ARGV[at + 1], false, ARGV[at + 2] == '1')
end
if args.consumer ~= '' then
  local token = args.consumer .. '#' .. args.sequence
  tokens[token] = true
  for id in (redis.call('HGET', keys.batches, token) or ''):gmatch(' (%S+)') do give_back(id, token, true) end
  if #missing == 0 then
    local last = (redis.call('GET', keys.last_claim) or '0'):match('^%d+')
    -- A later claim means that the child knows already: it has read its board and gone on.
    if tonumber(last) <= tonumber(args.sequence) then
      -- Of a dead child a claim may still lie in a socket, for a while.
      redis.call('SET', keys.last_claim, args.sequence .. ' void', 'PX', args.gone == '1' and 600000 or 86400000)
    end
    -- It may have died with a token of the wake list in its hands.
    if args.gone == '1' and redis.call('ZCARD', keys.ready) > 0 then wake_one(keys.wake) end
  end
end
write_left()
for token in pairs(tokens) do release(token) end
return { now, missing, unpack(codes) }
