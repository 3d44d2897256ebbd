#!lua flags=allow-oom
-- claim: give a child the next messages, best priority first, and a token that proves it.
--
-- KEYS[1] ready        ZSET     keys.ready
-- KEYS[2] messages     HASH     keys.messages
-- KEYS[3] state        HASH     keys.state
-- KEYS[4] leases       ZSET     keys.leases
-- KEYS[5] running      ZSET     keys.running
-- KEYS[6] claim        STRING   keys.claim(consumer): its last sequence, and what became of it
-- KEYS[7] dead         STREAM   keys.dead
-- KEYS[8] batches      HASH     keys.batches
-- KEYS[9] limits       HASH     keys.limits
-- KEYS[10] asking      ZSET     keys.asking
-- KEYS[11] control     CHANNEL  keys.control
-- KEYS[12] news        CHANNEL  keys.news; one of sixteen by the id: ":" and a hexadecimal digit follow
-- KEYS[13] events      STREAM   keys.events
-- KEYS[14..] W lists   LIST     the wake lists this child waits on; then
--          streams     STREAM   keys.stream(name): the caller's candidates
-- ARGV[1] consumer
-- ARGV[2] claim sequence: rises with each claim of this consumer; the same one gets the same messages
-- ARGV[3] count, at most 100; 0: only look whether a suspect waits
-- ARGV[4] lease, ms
-- ARGV[5] alone: 1 if the child has nothing else in hand (only then it gets a suspect)
-- ARGV[6] most bytes of envelopes
-- ARGV[7] most dead letters kept
-- ARGV[8] events kept, 0: none are written
-- ARGV[9] W, number of wake lists
-- ARGV[10] F, number of queue names that follow, and ARGV[11] how they count: "all", "only" or "except"
-- ARGV[12..] F queue names, then the names of the candidate streams
--
-- Returns {"ok", now ms, flags, then per stream: name, {entry, id, "<enqueued ms> <envelope>", counts, ...}}
--           counts: "<attempt> <retries before it> <first started ms, 0 if none>", and, if it must not run but only
--           be settled, a fourth word that says why: "revoked", or "parent:<id>" of the one that failed
--           flags: 1 a suspect waits for a child with empty hands, 2 only streams not served are ready,
--           4 nothing was found yet but more is ready: claim again at once, 8 this is a suspect: run it alone
--      or {"streams", now ms, name...}: a better stream is ready than those given; nothing was claimed
--      or {"void", now ms}: this sequence was given up by hand_back; nothing was claimed.
-- Moves:  ready -> claimed | ready -> running (count 1, or a suspect) | garbage entry -> dead letter
-- Safe to repeat: yes, by sequence. Clock: server.
-- include: clock, line, streams, tell, rate, limit
local ready, messages, state, leases, running, claim, dead =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local batches = KEYS[8]
local consumer, seq, count, lease_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local alone, max_bytes, dead_cap = ARGV[5] == '1', tonumber(ARGV[6]), ARGV[7]
local events_cap = ARGV[8]
local wake_count, filter_count, filter_mode = tonumber(ARGV[9]), tonumber(ARGV[10]), ARGV[11]
local first_name = 12 + filter_count
local MOST_CANDIDATES, MOST_TURNS, MOST_READ = 16, 4, 64
local now = now_ms()
local token = consumer .. '#' .. ARGV[2]

local function counts_of(s)
  local counts = s.attempts .. ' ' .. (s.attempts - 1 - s.crashes - s.lost) .. ' ' .. int(s.first)
  local doom = mark_of(s, 'x')
  return doom and counts .. ' ' .. (doom == 'terminate' and 'revoked' or doom) or counts
end

-- The same sequence again: the reply was lost, or somebody gave the claim up in this child's name.
local last = redis.call('GET', claim)
if last then
  local last_seq, kind = last:match('^(%d+) (%l+)$')
  if tonumber(last_seq) >= seq then
    if kind == 'void' or tonumber(last_seq) > seq then return { 'void', now } end
    local reply, of = { 'ok', now, 0 }, {}
    for id in (redis.call('HGET', batches, token) or ''):gmatch(' (%S+)') do
      local line = redis.call('HGET', state, id)
      local message = redis.call('HGET', messages, id)
      if message and held(line, token) then
        local s = parse(line)
        if not of[s.name] then
          of[s.name] = {}
          reply[#reply + 1] = s.name
          reply[#reply + 1] = of[s.name]
        end
        for _, value in ipairs({ s.entry, id, message, counts_of(s) }) do
          of[s.name][#of[s.name] + 1] = value
        end
      end
    end
    return reply
  end
end

local served = {}
for i = 1, filter_count do served[ARGV[11 + i]] = true end
local function serves(name)
  if filter_mode == 'all' then return true end
  return (served[name:match('^%-?%d+:(.*)$')] == true) == (filter_mode == 'only')
end
-- The best ready streams this child serves, best first; the ready set is read in bounded steps. Those of the
-- first priority are all read, because they take turns, however many there are.
local best, any_ready, from, top, tier = {}, false, 0, nil, 0
local full = false
repeat
  local page = redis.call('ZREVRANGE', ready, from, from + 63)
  for _, name in ipairs(page) do
    any_ready = true
    if not full and serves(name) then
      local priority = name:match('^(-?%d+):')
      top = top or priority
      if priority == top then
        tier = tier + 1
        best[#best + 1] = name
      elseif #best < MOST_CANDIDATES then
        best[#best + 1] = name
      else
        full = true
      end
    end
  end
  from = from + 64
until #page < 64 or full
if #best == 0 then
  -- Whoever excludes queues waits on the list of those who serve them: pass the ring on.
  if any_ready and filter_mode == 'except' then ring(KEYS[14]) end
  return { 'ok', now, any_ready and 2 or 0 }
end
local order = {}
for i = 0, math.min(tier, MOST_CANDIDATES) - 1 do order[#order + 1] = best[1 + (seq + i) % tier] end
for i = tier + 1, math.min(#best, MOST_CANDIDATES) do order[#order + 1] = best[i] end

local keys = {}
for i = 14 + wake_count, #KEYS do keys[ARGV[first_name + i - 14 - wake_count]] = KEYS[i] end
if not keys[order[1]] then return { 'streams', now, unpack(order) } end

local reply, ids, flags, taken_bytes = { 'ok', now, 0 }, {}, 0, 0
local started = {} -- id and consumer of each that runs from now on
local limited = {} -- limit and id of each claimed message that has one
local lines, phase = {}, (count == 1 and 'R' or 'C')
local now_text = int(now)
local fresh_first = phase == 'R' and now_text or '0'
local fresh_counts = '1 0 ' .. fresh_first
local gave_back, reply_of, chosen = false, {}, {}

-- Take entries that now belong to this consumer; what does not fit in the reply goes back to its place.
local function take(name, key, entries, suspect)
  local entry_ids, entry_of = {}, {}
  for _, entry in ipairs(entries) do
    local fields = entry[2]
    if fields and fields[1] == 'id' and fields[2] then
      entry_ids[#entry_ids + 1] = fields[2]
      entry_of[#entry_of + 1] = entry[1]
    else
      redis.call('XADD', dead, 'MAXLEN', '~', dead_cap, '*', 'reason', 'undecodable', 'stream', name,
        'entry', entry[1], 'data', table.concat(fields or {}, ' '))
      redis.call('XACK', key, GROUP, entry[1])
      redis.call('XDEL', key, entry[1])
    end
  end
  if #entry_ids == 0 then return end
  local old = redis.call('HMGET', state, unpack(entry_ids))
  local blobs, known, step, largest, back = {}, 0, 2, 1, {}
  local list = reply_of[name]
  local before = token .. ' ' .. phase .. ' ' .. name .. ' '
  local after = ' 1 0 0 ' .. fresh_first .. ' ' .. fresh_first .. ' -'
  for i, id in ipairs(entry_ids) do
    if i > known and not gave_back then
      -- Bodies are read in steps, because large ones do not all fit, and to read them would take long.
      local n = math.min(step, #entry_ids - known, math.max(1, math.floor((max_bytes - taken_bytes) / largest)))
      for place, blob in ipairs(redis.call('HMGET', messages, unpack(entry_ids, i, known + n))) do
        blobs[known + place] = blob
        if blob and #blob > largest then largest = #blob end
      end
      known, step = known + n, math.min(step * 8, MOST_READ)
    end
    local entry, blob, line = entry_of[i], blobs[i], old[i]
    local s = line and parse(line)
    local lone = s and s.phase == 'S' and not suspect -- a suspect with an entry of its own: it was delayed
    if i > known then
      back[#back + 1] = entry
    elseif not blob or chosen[id] or (s and s.phase ~= 'Q' and s.phase ~= 'S') then
      -- Finished, revoked, or living under another entry: this one has nothing to say any more.
      redis.call('XACK', key, GROUP, entry)
      redis.call('XDEL', key, entry)
    elseif lone and (not alone or #ids > 0) then
      redis.call('XCLAIM', key, GROUP, 'suspect', 0, entry, 'JUSTID')
      if flags ~= 8 then flags = 1 end
    elseif gave_back or (#ids > 0 and taken_bytes + #blob > max_bytes) then
      back[#back + 1] = entry
      gave_back = true
    else
      taken_bytes = taken_bytes + #blob
      local counts, starts = fresh_counts, phase == 'R'
      if s then
        local doom = mark_of(s, 'x')
        -- A doomed one is not started; but what ends a suspect's holder may be what belongs to its outcome.
        starts = suspect or lone or (starts and not doom)
        if lone then gave_back, flags = true, 8 end
        s.token, s.name, s.entry = token, name, entry
        s.phase = doom == 'revoked' and 'X' or starts and 'R' or 'C'
        s.attempts = s.attempts + 1
        if starts then
          s.started = now
          if s.first == 0 then s.first = now end
        end
        counts, line = counts_of(s), format(s)
        local limit = limit_of(s)
        if limit then
          limited[#limited + 1] = limit
          limited[#limited + 1] = id
        end
      else
        line = before .. entry .. after
      end
      if starts then
        redis.call('ZADD', running, now_text, id)
        started[#started + 1] = id
        started[#started + 1] = consumer
      end
      if not list then
        list = {}
        reply_of[name] = list
        reply[#reply + 1] = name
        reply[#reply + 1] = list
      end
      local n = #ids
      ids[n + 1], chosen[id] = id, true
      lines[2 * n + 1], lines[2 * n + 2] = id, line
      local m = #list
      list[m + 1], list[m + 2], list[m + 3], list[m + 4] = entry, id, blob, counts
    end
  end
  if #back > 0 then
    local words = { key, GROUP, 'returned', 0, unpack(back) }
    words[#words + 1] = 'JUSTID'
    redis.call('XCLAIM', unpack(words))
  end
end

local function parked(key, who, most)
  local pending = redis.pcall('XPENDING', key, GROUP, '-', '+', most, who)
  if pending.err then
    redis.call('XGROUP', 'CREATE', key, GROUP, '0', 'MKSTREAM')
    return {}
  end
  local entry_ids = {}
  for i, row in ipairs(pending) do entry_ids[i] = row[1] end
  return entry_ids
end

-- Take from one stream until it is drained or the hands are full; entries without a message only cost a turn.
local function serve(name, key)
  local suspects = parked(key, 'suspect', 1)
  if #suspects > 0 then
    if not alone or #ids > 0 then
      flags = 1
    else
      take(name, key, redis.call('XCLAIM', key, GROUP, consumer, 0, suspects[1]), true)
      if #ids > 0 then
        gave_back, flags = true, 8 -- a suspect is alone: nothing is added to it
        return false
      end
    end
  end
  for _ = 1, MOST_TURNS do
    local want = count - #ids
    if want <= 0 or gave_back then return false end
    local returned = parked(key, 'returned', want)
    if #returned > 0 then
      take(name, key, redis.call('XCLAIM', key, GROUP, consumer, 0, unpack(returned)), false)
    else
      local read = redis.call('XREADGROUP', 'GROUP', GROUP, consumer, 'COUNT', want, 'STREAMS', key, '>')
      local entries = read and read[1] and read[1][2] or {}
      if #entries > 0 then take(name, key, entries, false) end
      if gave_back then return false end
      -- A full read may have been the last of it: one look past its end settles that.
      if #entries < want
        or #redis.call('XRANGE', key, '(' .. entries[#entries][1], '+', 'COUNT', 1) == 0 then
        return #parked(key, 'suspect', 1) == 0
      end
    end
  end
  return false
end

local work_left = false
for _, name in ipairs(order) do
  local key = keys[name]
  if not key or (count > 0 and #ids >= count) or gave_back then
    work_left = true
    break
  end
  if serve(name, key) then redis.call('ZREM', ready, name) else work_left = true end
end

if #ids > 0 then
  redis.call('HSET', state, unpack(lines))
  redis.call('ZADD', leases, int(now + lease_ms), token)
  redis.call('HSET', batches, token, #ids .. ' ' .. table.concat(ids, ' '))
  redis.call('SET', claim, ARGV[2] .. ' ids', 'PX', 86400000)
  for i = 1, #started, 2 do tell(KEYS[12], started[i]) end
  if #started > 0 and events_cap ~= '0' then
    redis.call('XADD', KEYS[13], 'MAXLEN', '~', events_cap, '*', 'kind', 'started', unpack(started))
  end
  if #limited > 0 then
    limiting().count_starts({ limits = KEYS[9], asking = KEYS[10], control = KEYS[11] }, limited)
  end
end
-- What is left, here or in streams that only others serve, is another child's: ring for the next one. A child
-- that got nothing does not ring for itself: it claims again, or what is left is a suspect or not for it.
if work_left and #ids > 0 then
  for i = 1, wake_count do ring(KEYS[13 + i]) end
elseif #ids > 0 and filter_mode == 'except' and redis.call('ZCARD', ready) > 0 then
  ring(KEYS[14])
elseif #ids == 0 and work_left and flags == 0 and count > 0 then
  flags = 4
end
reply[3] = flags
return reply
