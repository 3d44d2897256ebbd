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
-- KEYS[9] streams      ZSET     keys.streams
-- KEYS[10] wake        LIST     keys.wake
-- KEYS[11] control     CHANNEL  keys.control
-- KEYS[12] done        CHANNEL  keys.done; one of sixteen by the id: ":" and a hexadecimal digit follow
-- KEYS[13] dead        STREAM   keys.dead
-- KEYS[14] totals      HASH     keys.totals
-- KEYS[15,16] finished STREAM   keys.finished(hour) of the hour in ARGV[1] and of the next one
-- KEYS[17,18] counts   HASH     keys.counts(hour), likewise
-- KEYS[19] batches     HASH     keys.batches
-- KEYS[20..] pairs     STREAM, LIST   keys.stream(name), keys.queue_wake(queue); then
--          records     STRING   keys.record(id), one per member
-- ARGV[1] hour of KEYS[15]: hours since the epoch as the caller thinks
-- ARGV[2] how long the finished and counts keys of an hour are kept after it, ms
-- ARGV[3] most dead letters kept
-- ARGV[4] number of streams; then their names
-- ARGV[5 + streams] number of tokens that hold nothing any more after this call; then those; then groups of
--         members that end alike, each with a head of 7 values: how many, token, number of their stream,
--         outcome, attempt, record kept for ms (final) or delay ms (RETRY), reason (DEAD, else "");
--         then per member 4 values: id, entry, started ms, and the record without its first two words (final)
--         or the attempt's report, one line of JSON (RETRY)
--         outcome: SUCCESS FAILURE IGNORED EXPIRED REVOKED DEAD (final), RETRY (runs again after the delay)
--
-- A record is "1 <finished ms> <outcome> <token> <first started ms> <started ms> <attempt> <body bytes>
-- <result bytes>\n<body><result><reports of earlier attempts>"; the first two words and the reports come from here.
--
-- Returns {now ms, code...}: 1 done, 2 already done by this token, 0 stale (another holder, or finished);
--      or {"hour", now ms}: ARGV[1] is neither this hour nor the one before; nothing was written.
-- Moves:  claimed | running -> finished | delayed | ready
-- Safe to repeat: yes, by token. Clock: server.
-- include: clock, line, streams, delay, batch
local messages, state, history, progress, leases, running = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local delayed, ready, streams, wake, control = KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11]
local done, dead, totals, batches = KEYS[12], KEYS[13], KEYS[14], KEYS[19]
local hour, keep_ms, dead_cap, stream_count = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local release_count = tonumber(ARGV[5 + stream_count])
local first_record, first_group = 20 + 2 * stream_count, 6 + stream_count + release_count
local now = now_ms()
local this_hour = math.floor(now / 3600000)
if this_hour ~= hour and this_hour ~= hour + 1 then return { 'hour', now } end
local finished, counts = KEYS[15 + this_hour - hour], KEYS[17 + this_hour - hour]
local by_name = given_streams(20, stream_count, 5)
local now_text = int(now)

-- Check all members before the first write.
local ids, groups = {}, {}
do
  local at = first_group
  while at <= #ARGV do
    local size = tonumber(ARGV[at])
    groups[#groups + 1] = {
      first = #ids + 1, size = size, at = at + 7, token = ARGV[at + 1], name = ARGV[4 + ARGV[at + 2]] or '',
      outcome = ARGV[at + 3], attempt = ARGV[at + 4], ms = ARGV[at + 5], reason = ARGV[at + 6],
    }
    for i = 0, size - 1 do ids[#ids + 1] = ARGV[at + 7 + i * 4] end
    at = at + 7 + size * 4
  end
end
local lines = #ids > 0 and redis.call('HMGET', state, unpack(ids)) or {}
local reply, seen, settled_by = { now }, {}, {}
for _, group in ipairs(groups) do
  local token, prefix = group.token, group.token .. ' '
  group.phase_at = #prefix + 1
  local known, done_here = by_name[group.name], 0
  for i = group.first, group.first + group.size - 1 do
    local id, line = ids[i], lines[i]
    if known and held_by(line, prefix) and not seen[id] then
      seen[id] = true
      reply[i + 1] = 1
      done_here = done_here + 1
    elseif seen[id] then
      reply[i + 1] = 2 -- given twice; the first one counts
    else
      local record = redis.call('GETRANGE', KEYS[first_record + i - 1], 0, 255)
      local by = record:match('^%d+ %d+ %u+ (%S+)') or (line and parse(line).settled)
      reply[i + 1] = (by == token) and 2 or 0
    end
  end
  settled_by[token] = (settled_by[token] or 0) + done_here
end

local entries_of, left, were_running, forget_history = {}, {}, {}, {}
local index, tally, outcomes, buckets = {}, {}, {}, {}
local record_head = '1 ' .. now_text .. ' '

local function finish(group, i, id, started, rest)
  local report = ''
  if group.attempt ~= '1' then
    report = redis.call('HGET', history, id) or ''
    forget_history[#forget_history + 1] = id
  end
  redis.call('SET', KEYS[first_record + i - 1], record_head .. rest .. report, 'PX', group.ms)
  if group.outcome == 'DEAD' then
    redis.call('XADD', dead, 'MAXLEN', '~', dead_cap, '*', 'reason', group.reason, 'id', id, 'stream', group.name,
      'message', redis.call('HGET', messages, id) or '')
  end
  left[#left + 1] = id
  local n = #index
  index[n + 1], index[n + 2] = id, group.told
  if started ~= '0' then group.spent = group.spent + math.max(0, now - started) end
  local bucket = (string.byte(id, 32) or string.byte(id, -1)) % 16
  local list = buckets[bucket]
  if list then list[#list + 1] = id else buckets[bucket] = { id } end
end

local function retry(group, id, line, started, report)
  local s = parse(line)
  local delay_ms = tonumber(group.ms)
  s.settled, s.token, s.entry, s.started = s.token, '-', '-', 0
  if s.first == 0 then s.first = tonumber(started) end
  redis.call('HSET', history, id, (redis.call('HGET', history, id) or '') .. report .. '\n')
  if delay_ms > 0 then
    s.phase = 'D'
    park(delayed, control, id, now + delay_ms)
  else
    s.phase = 'Q'
    append(streams, by_name[group.name], group.name, id)
    make_ready(ready, wake, by_name[group.name], group.name)
  end
  redis.call('HSET', state, id, format(s))
end

for _, group in ipairs(groups) do
  local outcome, name, phase_at = group.outcome, group.name, group.phase_at
  group.told, group.spent = outcome .. ' ' .. name, 0
  local entries = entries_of[name] or {}
  local before = #entries
  for i = group.first, group.first + group.size - 1 do
    if reply[i + 1] == 1 then
      local at = group.at + (i - group.first) * 4
      local id = ids[i]
      if string.byte(lines[i], phase_at) == 82 then were_running[#were_running + 1] = id end
      if outcome == 'RETRY' then
        retry(group, id, lines[i], ARGV[at + 2], ARGV[at + 3])
      else
        finish(group, i, id, ARGV[at + 2], ARGV[at + 3])
      end
      entries[#entries + 1] = ARGV[at + 1]
    end
  end
  local n = #entries - before
  if n > 0 then
    entries_of[name] = entries
    outcomes[outcome] = (outcomes[outcome] or 0) + n
    if outcome ~= 'RETRY' then
      local of = tally[name] or { ms = 0 }
      tally[name] = of
      of[outcome], of.ms = (of[outcome] or 0) + n, of.ms + group.spent
    end
  end
end

for name, entries in pairs(entries_of) do
  redis.call('XACK', by_name[name].key, GROUP, unpack(entries))
  redis.call('XDEL', by_name[name].key, unpack(entries))
end
if #were_running > 0 then
  redis.call('ZREM', running, unpack(were_running))
  redis.call('HDEL', progress, unpack(were_running))
end
if #left > 0 then
  redis.call('HDEL', state, unpack(left))
  redis.call('HDEL', messages, unpack(left))
  redis.call('XADD', finished, '*', unpack(index))
  local minute = math.floor(now / 60000) % 60 .. ' '
  for name, of in pairs(tally) do
    local queue = minute .. name:match(':(.*)$') .. ' '
    for what, n in pairs(of) do
      if n > 0 then redis.call('HINCRBY', counts, queue .. what, int(n)) end
    end
  end
  local expire_at = int((this_hour + 1) * 3600000 + keep_ms)
  redis.call('PEXPIREAT', finished, expire_at)
  redis.call('PEXPIREAT', counts, expire_at)
end
if #forget_history > 0 then redis.call('HDEL', history, unpack(forget_history)) end
for outcome, n in pairs(outcomes) do redis.call('HINCRBY', totals, outcome, n) end
for i = 1, release_count do
  local token = ARGV[5 + stream_count + i]
  release(batches, leases, state, token, settled_by[token] or 0)
end
for bucket, list in pairs(buckets) do
  redis.call('SPUBLISH', done .. ':' .. string.format('%x', bucket), table.concat(list, ' '))
end
return reply
