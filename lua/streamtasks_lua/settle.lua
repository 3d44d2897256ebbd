#!lua flags=allow-oom
-- settle: write the outcomes of up to 100 attempts; each is checked before anything is written.
--
-- KEYS[1] messages     HASH     keys.messages
-- KEYS[2] state        HASH     keys.state
-- KEYS[3] history      HASH     keys.history
-- KEYS[4] delayed      ZSET     keys.delayed
-- KEYS[5] ready        ZSET     keys.ready
-- KEYS[6] streams      ZSET     keys.streams
-- KEYS[7] wake         LIST     keys.wake
-- KEYS[8] control      CHANNEL  keys.control
-- KEYS[9] done         CHANNEL  keys.done; one of sixteen by the id: ":" and a hexadecimal digit follow
-- KEYS[10] totals      HASH     keys.totals
-- KEYS[11,12] finished STREAM   keys.finished(hour) of the hour in ARGV[1] and of the next one
-- KEYS[13,14] counts   HASH     keys.counts(hour), likewise
-- KEYS[15] links       HASH     keys.links
-- KEYS[16] events      STREAM   keys.events
-- KEYS[17] waiting     ZSET     keys.waiting
-- KEYS[18] limits      HASH     keys.limits
-- KEYS[19] asking      ZSET     keys.asking
-- KEYS[20] progress    HASH     keys.progress
-- KEYS[21] leases      ZSET     keys.leases
-- KEYS[22] running     ZSET     keys.running
-- KEYS[23] dead        STREAM   keys.dead
-- KEYS[24] batches     HASH     keys.batches
-- KEYS[25] news        CHANNEL  keys.news; one of sixteen, as keys.done
-- KEYS[26..] pairs     STREAM, LIST   keys.stream(name), keys.queue_wake(queue); then
--          records     STRING   keys.record(id), one per member, then one per follow-up; then keys.record(parent) of
--                               each after= of the follow-ups in order; then, if there are workflows,
--          unfolding   ZSET     keys.unfolding, and
--          workflows   HASH     keys.workflow(id), one per workflow of a member
-- ARGV[1] hour of KEYS[11]: hours since the epoch as the caller thinks
-- ARGV[2] how long the finished and counts keys of an hour are kept after it, ms
-- ARGV[3] most dead letters kept
-- ARGV[4] how long the record of a member is kept that is REVOKED whatever its holder says, ms
-- ARGV[5] for which outcomes a callback message is sent: "" none, "revoked" members that were revoked while they were
--         held and end otherwise for their holder, "all" those, every final one and every RETRY
-- ARGV[6] events kept, 0: none are written
-- ARGV[7] number of members
-- ARGV[8] number of follow-ups
-- ARGV[9] number of streams, ARGV[10] number of workflows; then the names of the streams, then the ids of the workflows
-- ARGV[11 + both] number of tokens that hold nothing any more after this call; then those; then per follow-up
--         5 values: number of its member from 1, id, number of its stream, terms (include/accept.lua), envelope; then
--         groups of members that end alike, each with a head of 7 values: how many, token, number of their stream,
--         outcome, attempt, record kept for ms (final) or delay ms (RETRY), reason (DEAD, else "");
--         then per member 4 values: id, entry, started ms, and the record without its first two words (final)
--         or the attempt's report, one line of JSON (RETRY)
--         outcome: SUCCESS FAILURE IGNORED EXPIRED REVOKED DEAD (final), RETRY (runs again after the delay),
--         CALLED (a callback message: it leaves no trace, but its dead letter if it ends as DEAD)
--
-- A member in phase X has been revoked: whatever its outcome is, RETRY included, it is finished as REVOKED. A
-- follow-up is accepted if its member's answer is 1 and its outcome the one that counts. Whoever waits for a
-- finished member (`links`) goes on, and so does its workflow: what the member was the last to be waited for.
--
-- A record is "1 <finished ms> <outcome> <token> <first started ms> <started ms> <attempt> <body bytes>
-- <result bytes>\n<body><result><reports of earlier attempts>"; the first two words and the reports come from here. A
-- result of 64 bytes or more that a workflow keeps is not kept again: its field stands in place of its size.
--
-- Returns {now ms, code...}: 1 done, 2 already done by this token, 0 stale (another holder, or finished);
--      or {"hour", now ms}: ARGV[1] is neither this hour nor the one before; nothing was written.
-- Moves:  claimed | running -> finished | delayed | ready; blocked -> delayed
-- Safe to repeat: yes, by token. Clock: server.
-- include: clock, line, streams, delay, batch, tell, callback, rate, limit, accept, links, index, workflow
local messages, state, history, delayed, ready, streams = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local wake, control, done, totals, links, events = KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[15], KEYS[16]
local progress, leases, running, dead, batches = KEYS[20], KEYS[21], KEYS[22], KEYS[23], KEYS[24]
local keys = {
  messages = messages, state = state, delayed = delayed, ready = ready, streams = streams, wake = wake,
  control = control, links = links, totals = totals, done = done, waiting = KEYS[17], limits = KEYS[18],
  asking = KEYS[19],
}
local hour, keep_ms, dead_cap, revoked_ms, callbacks = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
local events_cap, member_count, follow_count = ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8])
local stream_count, workflow_count = tonumber(ARGV[9]), tonumber(ARGV[10])
local first_release = 12 + stream_count + workflow_count
local release_count = tonumber(ARGV[first_release - 1])
local first_record, first_follow = 26 + 2 * stream_count, first_release + release_count
local first_group = first_follow + 5 * follow_count
local redis, ARGV, KEYS, byte = redis, ARGV, KEYS, string.byte
local now = now_ms()
local this_hour = math.floor(now / 3600000)
if this_hour ~= hour and this_hour ~= hour + 1 then return { 'hour', now } end
local finished, counts = KEYS[11 + this_hour - hour], KEYS[13 + this_hour - hour]
local by_name = given_streams(26, stream_count, 11)
local now_text = int(now)

-- Check all members before the first write.
local ids, groups = {}, {}
do
  local at, first, last = first_group, 1, #ARGV
  while at <= last do
    local size = tonumber(ARGV[at])
    groups[#groups + 1] = {
      first = first, last = first + size - 1, at = at + 7, token = ARGV[at + 1], name = ARGV[10 + ARGV[at + 2]] or '',
      outcome = ARGV[at + 3], attempt = ARGV[at + 4], ms = ARGV[at + 5], reason = ARGV[at + 6],
    }
    for i = 0, size - 1 do ids[first + i] = ARGV[at + 7 + i * 4] end
    first, at = first + size, at + 7 + size * 4
  end
end
local lines = #ids > 0 and redis.call('HMGET', state, unpack(ids)) or {}
local reply, seen, settled_by = { now }, {}, {}
for _, group in ipairs(groups) do
  local token, prefix = group.token, group.token .. ' '
  group.phase_at = #prefix + 1
  local known, done_here = by_name[group.name], 0
  for i = group.first, group.last do
    local id, line = ids[i], lines[i]
    if known and held_by(line, prefix) and not seen[id] then
      seen[id] = true
      reply[i + 1] = 1
      done_here = done_here + 1
    elseif seen[id] then
      reply[i + 1] = 2 -- given twice; the first one counts
    elseif not line and group.outcome == 'CALLED' then
      reply[i + 1] = 2 -- it leaves nothing that could tell
    else
      local record = redis.call('GETRANGE', KEYS[first_record + i - 1], 0, 255)
      local by = record:match('^%d+ %d+ %u+ (%S+)') or (line and parse(line).settled)
      reply[i + 1] = (by == token) and 2 or 0
    end
  end
  settled_by[token] = (settled_by[token] or 0) + done_here
end

local entries_of, left, were_running, forget_history = {}, {}, {}, {}
local index, told_count, tally, outcomes, buckets = {}, 0, {}, {}, {}
local overridden, to_call, news = {}, {}, events_cap ~= '0' and {} or nil
keys.accepted = news and {}
local nodes = workflow_count > 0 and {} or nil -- that are finished, see note_node
local flows = {}
for w = 1, workflow_count do
  local id = ARGV[10 + stream_count + w]
  flows[id] = open_workflow(id, KEYS[#KEYS - workflow_count + w])
end
local record_head = '1 ' .. now_text .. ' '

-- Note that a node is finished; return its record, which names the field of the workflow that keeps the result, if one does.
local function note_node(i, id, outcome, rest, keep_ms)
  local after = lines[i]:match(' w=(%S+)')
  local of, number = id:match(NODE)
  local flow = after and flows[of]
  if not flow then return rest end
  local head, size, body_at = rest:match('^([^\n]* )(%d+)\n()')
  size = tonumber(size)
  local result = size > 0 and rest:sub(-size) or ''
  nodes[#nodes + 1] = { flow, id, number, after, outcome, result, tonumber(keep_ms) }
  local field = size >= KEPT_ONCE and nodes_of(flow) and
    field_of(after, number, outcome == 'SUCCESS' or outcome == 'IGNORED')
  return field and head .. field .. '\n' .. rest:sub(body_at, -1 - size) or rest
end
-- What every outcome that counts leaves behind, but for the record itself.
local function tell_final(id, told)
  index[told_count + 1], index[told_count + 2] = id, told
  told_count = told_count + 2
  local bucket = (byte(id, 32) or byte(id, -1)) % 16
  local list = buckets[bucket]
  if list then list[#list + 1] = id else buckets[bucket] = { id } end
end
local function count_final(name, outcome, n, spent)
  outcomes[outcome] = (outcomes[outcome] or 0) + n
  outcomes.ms = (outcomes.ms or 0) + spent
  local of = tally[name] or { ms = 0 }
  tally[name] = of
  of[outcome], of.ms = (of[outcome] or 0) + n, of.ms + spent
end

local function finish(group, i, id, started, rest)
  local report = ''
  left[#left + 1] = id
  if group.attempt ~= '1' then
    report = redis.call('HGET', history, id) or ''
    forget_history[#forget_history + 1] = id
  end
  if group.outcome == 'DEAD' then
    redis.call('XADD', dead, 'MAXLEN', '~', dead_cap, '*', 'reason', group.reason, 'id', id, 'stream', group.name,
      'message', redis.call('HGET', messages, id) or '')
  end
  if group.outcome == 'CALLED' or (byte(id, 1) == 99 and is_callback(id)) then return end -- c
  if nodes then rest = note_node(i, id, group.outcome, rest, group.ms) end
  -- PXAT: with PX the server writes the command anew for its replicas.
  redis.call('SET', KEYS[first_record + i - 1], record_head .. rest .. report, 'PXAT', group.keep_until)
  tell_final(id, group.told)
  if started ~= '0' then group.spent = group.spent + math.max(0, now - started) end
  if callbacks == 'all' then to_call[#to_call + 1] = i end
end

-- The holder was too late: this one has been revoked. Its holder's word only counts as a report, if it is one.
local function finish_revoked(group, i, id, line, started, report)
  local s = parse(line)
  local reports = redis.call('HGET', history, id) or ''
  if group.outcome == 'RETRY' and report ~= '' then reports = reports .. report .. '\n' end
  local first = s.first > 0 and int(s.first) or started
  redis.call('SET', KEYS[first_record + i - 1], revoked_record(now_text, group.token, first, started, group.attempt,
    redis.call('HGET', messages, id) or '0 ', reports), 'PX', revoked_ms)
  overridden[i] = true
  left[#left + 1] = id
  forget_history[#forget_history + 1] = id
  tell_final(id, 'REVOKED ' .. group.name)
  count_final(group.name, 'REVOKED', 1, started ~= '0' and math.max(0, now - started) or 0)
  if nodes then note_node(i, id, 'REVOKED', ' 0\n', revoked_ms) end
  if callbacks ~= '' then to_call[#to_call + 1] = i end
end

local function retry(group, id, line, started, report)
  local s = parse(line)
  local delay_ms = tonumber(group.ms)
  s.settled, s.token, s.entry, s.started = s.token, '-', '-', 0
  if s.first == 0 then s.first = tonumber(started) end
  redis.call('HSET', history, id, (redis.call('HGET', history, id) or '') .. report .. '\n')
  if delay_ms > 0 or mark_of(s, 'l') then -- promote sends it to its limit
    s.phase = 'D'
    park(delayed, control, id, now + delay_ms)
  else
    s.phase = 'Q'
    append(streams, by_name[group.name], group.name, id)
    make_ready(ready, wake, by_name[group.name], group.name)
  end
  redis.call('HSET', state, id, format(s))
  outcomes.RETRY = (outcomes.RETRY or 0) + 1
  tell(KEYS[25], id) -- who watches it sees it wait
  if news then
    news[#news + 1] = id
    news[#news + 1] = 'RETRY'
  end
end

for _, group in ipairs(groups) do
  local outcome, name, phase_at = group.outcome, group.name, group.phase_at
  group.told, group.spent, group.keep_until = outcome .. ' ' .. name, 0, int(now + group.ms)
  local entries = entries_of[name] or {}
  local told_before, revoked_here, at = told_count, 0, group.at - 4
  for i = group.first, group.last do
    at = at + 4
    if reply[i + 1] == 1 then
      local id, phase = ids[i], byte(lines[i], phase_at)
      if phase ~= 67 then were_running[#were_running + 1] = id end -- C
      if phase == 88 and outcome ~= 'REVOKED' and outcome ~= 'CALLED' then -- X
        finish_revoked(group, i, id, lines[i], ARGV[at + 2], ARGV[at + 3])
        revoked_here = revoked_here + 1
      elseif outcome == 'RETRY' then
        retry(group, id, lines[i], ARGV[at + 2], ARGV[at + 3])
        if callbacks == 'all' then to_call[#to_call + 1] = i end
      else
        finish(group, i, id, ARGV[at + 2], ARGV[at + 3])
      end
      entries[#entries + 1] = ARGV[at + 1]
    end
  end
  if #entries > 0 then entries_of[name] = entries end
  local n = (told_count - told_before) / 2 - revoked_here
  if n > 0 then count_final(name, outcome, n, group.spent) end
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
end
if told_count > 0 then
  redis.call('XADD', finished, '*', unpack(index))
  local minute = math.floor(now / 60000) % 60 .. ' '
  for name, of in pairs(tally) do
    local queue = minute .. name:match(':(.*)$') .. ' '
    for what, n in pairs(of) do
      if n > 0 then redis.call('HINCRBY', counts, queue .. what, int(n)) end
    end
  end
  keep_until(finished, (this_hour + 1) * 3600000 + keep_ms)
  keep_until(counts, (this_hour + 1) * 3600000 + keep_ms)
end
if #forget_history > 0 then redis.call('HDEL', history, unpack(forget_history)) end
for outcome, n in pairs(outcomes) do
  if n > 0 then redis.call('HINCRBY', totals, outcome, int(n)) end
end
for i = 1, release_count do
  local token = ARGV[first_release + i - 1]
  release(batches, leases, state, token, settled_by[token] or 0)
end
for bucket, list in pairs(buckets) do
  redis.call('SPUBLISH', done .. ':' .. string.format('%x', bucket), table.concat(list, ' '))
end

local stamp = now_text .. ' '
local next_parent = first_record + member_count + follow_count
for f = 1, follow_count do
  local at = first_follow + (f - 1) * 5
  local member, id, name, terms = tonumber(ARGV[at]), ARGV[at + 1], ARGV[10 + ARGV[at + 2]] or '', ARGV[at + 3]
  local of = terms ~= '' and read_terms(terms, now)
  local parent
  if of and of.after then
    parent = KEYS[next_parent]
    next_parent = next_parent + 1
  end
  if reply[member + 1] == 1 and not overridden[member] and by_name[name] then
    local record = KEYS[first_record + member_count + f - 1]
    local code = accept(keys, record, by_name[name], name, id, of, parent, stamp, ARGV[at + 4], now)
    if code == 1 and news then
      keys.accepted[#keys.accepted + 1] = id
      keys.accepted[#keys.accepted + 1] = name
    end
  end
end
for _, i in ipairs(to_call) do
  for _, group in ipairs(groups) do
    if i >= group.first and i <= group.last then
      local again = group.outcome == 'RETRY' and not overridden[i] and group.attempt or nil
      call_back(keys, by_name[group.name], group.name, ids[i], stamp, again)
    end
  end
end
if nodes then
  keys.unfolding, keys.budget = KEYS[#KEYS - workflow_count], MOST_RELEASED
  for _, node in ipairs(nodes) do node_ended(keys, by_name, now, unpack(node)) end
  for _, flow in pairs(flows) do close_workflow(keys, flow) end
end
if told_count > 0 then
  if redis.call('HLEN', links) > 0 then
    for n = 1, told_count, 2 do
      local children = redis.call('HGET', links, index[n])
      if children then
        local told = index[n + 1]
        local succeeded = told:find('^SUCCESS ') or told:find('^IGNORED ')
        free_children(keys, index[n], children, succeeded, now, MOST_FREED_AT_ONCE)
      end
    end
  end
  if news then
    for n = 1, told_count, 2 do
      news[#news + 1] = index[n]
      news[#news + 1] = index[n + 1]:match('^%u+')
    end
  end
end
if news and #news > 0 then
  redis.call('XADD', events, 'MAXLEN', '~', events_cap, '*', 'kind', 'settled', unpack(news))
end
if news and #keys.accepted > 0 then
  redis.call('XADD', events, 'MAXLEN', '~', events_cap, '*', 'kind', 'accepted', unpack(keys.accepted))
end
return reply
