#!lua flags=allow-oom
-- settle: write the outcomes of up to 100 attempts; each is checked before anything is written.
--
-- KEYS[1] messages     HASH     keys.messages
-- KEYS[2] state        HASH     keys.state
-- KEYS[3] history      HASH     keys.history
-- KEYS[4] progress     HASH     keys.progress
-- KEYS[5] leases       ZSET     keys.leases
-- KEYS[6] running      ZSET     keys.running
-- KEYS[7] delayed      ZSET     keys.delayed
-- KEYS[8] ready        ZSET     keys.ready
-- KEYS[9] streams      SET      keys.streams
-- KEYS[10] wake        LIST     keys.wake
-- KEYS[11] control     CHANNEL  keys.control
-- KEYS[12] done        CHANNEL  keys.done; one of sixteen by the id: ":" and a hexadecimal digit follow
-- KEYS[13] dead        STREAM   keys.dead
-- KEYS[14] totals      HASH     keys.totals
-- KEYS[15,16] finished STREAM   keys.finished(hour) of the hour in ARGV[1] and of the next one
-- KEYS[17,18] counts   HASH     keys.counts(hour), likewise
-- KEYS[19..] pairs     STREAM, LIST   keys.stream(name), keys.queue_wake(queue); then
--          records     STRING   keys.record(id), one per member
-- ARGV[1] hour of KEYS[15]: hours since the epoch as the caller thinks
-- ARGV[2] how long the finished and counts keys of an hour are kept after it, ms
-- ARGV[3] most dead letters kept
-- ARGV[4] number of streams; then their names; then per member 11 values:
--         id, token, number of its stream, entry, outcome, attempt, started ms, first started ms,
--         record kept for ms (final) or delay ms (RETRY), result, reason (DEAD) or attempt report (RETRY)
--         outcome: SUCCESS FAILURE IGNORED EXPIRED REVOKED DEAD (final), RETRY (runs again after the delay)
--
-- Returns {now ms, code...}: 1 done, 2 already done by this token, 0 stale (another holder, or finished);
--      or {"hour", now ms}: ARGV[1] is neither this hour nor the one before; nothing was written.
-- Moves:  claimed | running -> finished | delayed | ready
-- Safe to repeat: yes, by token. Clock: server.
-- include: clock, line, streams, delay
local messages, state, history, progress, leases, running = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local delayed, ready, streams, wake, control = KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11]
local done, dead, totals = KEYS[12], KEYS[13], KEYS[14]
local hour, keep_ms, dead_cap, stream_count = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local first_record, first_member = 19 + 2 * stream_count, 5 + stream_count
local total = #KEYS - first_record + 1
local now = now_ms()
local this_hour = math.floor(now / 3600000)
if this_hour ~= hour and this_hour ~= hour + 1 then return { 'hour', now } end
local finished, counts = KEYS[15 + this_hour - hour], KEYS[17 + this_hour - hour]
local by_name = given_streams(19, stream_count, 5)

local ids = {}
for i = 1, total do ids[i] = ARGV[first_member + (i - 1) * 11] end
local lines = redis.call('HMGET', state, unpack(ids))
local blobs = redis.call('HMGET', messages, unpack(ids))

local reply, gone, entries_of = { now }, {}, {}
local index, tally, outcomes, buckets = {}, {}, {}, {}
local forget_state, forget_history = {}, {}

local function leave_stream(name, entry)
  local list = entries_of[name]
  if not list then
    list = {}
    entries_of[name] = list
  end
  list[#list + 1] = entry
end

local function finish(i, at, id, name, outcome)
  local attempt, started, first = ARGV[at + 5], ARGV[at + 6], ARGV[at + 7]
  local report = ''
  if attempt ~= '1' then
    report = redis.call('HGET', history, id) or ''
    forget_history[#forget_history + 1] = id
  end
  local enqueued, envelope = blobs[i]:match('^(%d+) (.*)$')
  local result = ARGV[at + 9]
  redis.call('SET', KEYS[first_record + i - 1], '1 ' .. outcome .. ' ' .. ARGV[at + 1] .. ' ' .. enqueued .. ' '
    .. first .. ' ' .. started .. ' ' .. int(now) .. ' ' .. attempt .. ' ' .. #envelope .. ' ' .. #report
    .. ' ' .. #result .. '\n' .. envelope .. report .. result, 'PX', ARGV[at + 8])
  if outcome == 'DEAD' then
    redis.call('XADD', dead, 'MAXLEN', '~', dead_cap, '*', 'reason', ARGV[at + 10], 'id', id, 'stream', name,
      'envelope', envelope)
  end
  gone[#gone + 1] = id
  forget_state[#forget_state + 1] = id
  index[#index + 1] = id
  index[#index + 1] = outcome .. ' ' .. name
  outcomes[outcome] = (outcomes[outcome] or 0) + 1
  local field = name:match(':(.*)$') .. ' ' .. outcome
  tally[field] = (tally[field] or 0) + 1
  if started ~= '0' then
    local ms = name:match(':(.*)$') .. ' ms'
    tally[ms] = (tally[ms] or 0) + math.max(0, now - tonumber(started))
  end
  local bucket = string.format('%x', (id:byte(32) or id:byte(-1)) % 16)
  buckets[bucket] = (buckets[bucket] and buckets[bucket] .. ' ' or '') .. id
end

local function retry(at, id, name, line)
  local s = parse(line)
  local delay_ms = tonumber(ARGV[at + 8])
  s.settled, s.token, s.entry, s.first, s.started = s.token, '-', '-', tonumber(ARGV[at + 7]), 0
  s.attempts = tonumber(ARGV[at + 5])
  redis.call('HSET', history, id, (redis.call('HGET', history, id) or '') .. ARGV[at + 10] .. '\n')
  if delay_ms > 0 then
    s.phase = 'D'
    park(delayed, control, id, now + delay_ms)
  else
    s.phase = 'Q'
    append(streams, by_name[name], name, id)
    make_ready(ready, wake, by_name[name], name)
  end
  redis.call('HSET', state, id, format(s))
  gone[#gone + 1] = id
  outcomes.RETRY = (outcomes.RETRY or 0) + 1
end

local checked = {}
for i = 1, total do
  local at = first_member + (i - 1) * 11
  local id, token, line = ids[i], ARGV[at + 1], lines[i]
  if held(line, token) and blobs[i] and not checked[id] and by_name[ARGV[4 + tonumber(ARGV[at + 2])] or ''] then
    checked[id] = true
    reply[i + 1] = 1
  else
    local record = redis.call('GETRANGE', KEYS[first_record + i - 1], 0, 255)
    local by = record:match('^%d+ %u+ (%S+)') or (line and parse(line).settled)
    reply[i + 1] = (by == token) and 2 or 0
  end
end
for i = 1, total do
  if reply[i + 1] == 1 then
    local at = first_member + (i - 1) * 11
    local name, outcome = ARGV[4 + tonumber(ARGV[at + 2])], ARGV[at + 4]
    if outcome == 'RETRY' then
      retry(at, ids[i], name, lines[i])
    else
      finish(i, at, ids[i], name, outcome)
    end
    leave_stream(name, ARGV[at + 3])
  end
end

for name, entries in pairs(entries_of) do
  redis.call('XACK', by_name[name].key, GROUP, unpack(entries))
  redis.call('XDEL', by_name[name].key, unpack(entries))
end
if #gone > 0 then
  redis.call('ZREM', leases, unpack(gone))
  redis.call('ZREM', running, unpack(gone))
  redis.call('HDEL', progress, unpack(gone))
end
if #forget_state > 0 then
  redis.call('HDEL', state, unpack(forget_state))
  redis.call('HDEL', messages, unpack(forget_state))
  redis.call('XADD', finished, '*', unpack(index))
  local minute = string.format('%d ', math.floor(now / 60000) % 60)
  for field, n in pairs(tally) do redis.call('HINCRBY', counts, minute .. field, int(n)) end
  local expire_at = int((this_hour + 1) * 3600000 + keep_ms)
  redis.call('PEXPIREAT', finished, expire_at)
  redis.call('PEXPIREAT', counts, expire_at)
end
if #forget_history > 0 then redis.call('HDEL', history, unpack(forget_history)) end
for outcome, n in pairs(outcomes) do redis.call('HINCRBY', totals, outcome, n) end
for bucket, list in pairs(buckets) do redis.call('SPUBLISH', done .. ':' .. bucket, list) end
return reply
