#!lua flags=allow-oom
-- claim: give a child the next messages, best priority first, and a token that proves it.
--
-- KEYS[1] ready        ZSET     keys.ready
-- KEYS[2] messages     HASH     keys.messages
-- KEYS[3] state        HASH     keys.state
-- KEYS[4] leases       ZSET     keys.leases
-- KEYS[5] running      ZSET     keys.running
-- KEYS[6] claims       HASH     keys.claims
-- KEYS[7] dead         STREAM   keys.dead
-- KEYS[8..] W lists    LIST     the wake lists this child waits on; then
--          streams     STREAM   keys.stream(name): the caller's candidates
-- ARGV[1] consumer
-- ARGV[2] claim sequence: rises with each claim of this consumer; the same one gets the same messages
-- ARGV[3] count, at most 100
-- ARGV[4] lease, ms
-- ARGV[5] alone: 1 if the child has nothing else in hand (only then it gets a suspect)
-- ARGV[6] most bytes of envelopes
-- ARGV[7] most dead letters kept
-- ARGV[8] W, number of wake lists
-- ARGV[9] F, number of queue names that follow, and ARGV[10] how they count: "all", "only" or "except"
-- ARGV[11..] F queue names, then the names of the candidate streams
--
-- Returns {"ok", now ms, flags, name, entry, id, "<enqueued ms> <envelope>", attempt, retries before it, first started ms, ...}
--           flags: 1 a suspect waits for a child with empty hands, 2 only streams not served are ready,
--           4 nothing was found yet but more is ready: claim again at once
--      or {"streams", now ms, name...}: a better stream is ready than those given; nothing was claimed
--      or {"void", now ms}: this sequence was given up by hand_back; nothing was claimed.
-- Moves:  ready -> claimed | ready -> running (count 1, or a suspect) | garbage entry -> dead letter
-- Safe to repeat: yes, by sequence. Clock: server.
-- include: clock, line, streams
local ready, messages, state, leases, running, claims, dead =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local consumer, seq, count, lease_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local alone, max_bytes, dead_cap = ARGV[5] == '1', tonumber(ARGV[6]), ARGV[7]
local wake_count, filter_count, filter_mode = tonumber(ARGV[8]), tonumber(ARGV[9]), ARGV[10]
local first_name = 11 + filter_count
local MOST_CANDIDATES, MOST_TURNS = 16, 4
local now = now_ms()
local token = consumer .. '#' .. ARGV[2]

-- Of the attempts before this one, those that asked to be run again.
local function retries(s)
  return s.attempts - 1 - s.crashes - s.lost
end

-- The same sequence again: the reply was lost, or somebody gave the claim up in this child's name.
local last = redis.call('HGET', claims, consumer)
if last then
  local last_seq, kind, rest = last:match('^(%d+) (%l+)(.*)$')
  if tonumber(last_seq) >= seq then
    if kind == 'void' or tonumber(last_seq) > seq then return { 'void', now } end
    local reply = { 'ok', now, 0 }
    for id in rest:gmatch('%S+') do
      local line = redis.call('HGET', state, id)
      local message = redis.call('HGET', messages, id)
      if message and held(line, token) then
        local s = parse(line)
        for _, value in ipairs({ s.name, s.entry, id, message, s.attempts, retries(s), int(s.first) }) do
          reply[#reply + 1] = value
        end
      end
    end
    return reply
  end
end

local served = {}
for i = 1, filter_count do served[ARGV[10 + i]] = true end
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
if #best == 0 then return { 'ok', now, any_ready and 2 or 0 } end
local order = {}
for i = 0, math.min(tier, MOST_CANDIDATES) - 1 do order[#order + 1] = best[1 + (seq + i) % tier] end
for i = tier + 1, math.min(#best, MOST_CANDIDATES) do order[#order + 1] = best[i] end

local keys = {}
for i = 8 + wake_count, #KEYS do keys[ARGV[first_name + i - 8 - wake_count]] = KEYS[i] end
if not keys[order[1]] then return { 'streams', now, unpack(order) } end

local reply, ids, flags, taken_bytes = { 'ok', now, 0 }, {}, 0, 0
local lines, lease_args, phase = {}, {}, (count == 1 and 'R' or 'C')
local gave_back = false

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
  local blobs = redis.call('HMGET', messages, unpack(entry_ids))
  local old = redis.call('HMGET', state, unpack(entry_ids))
  for i, id in ipairs(entry_ids) do
    local entry, blob = entry_of[i], blobs[i]
    local s = old[i] and parse(old[i])
    if not blob or (s and (s.phase == 'C' or s.phase == 'R' or s.phase == 'D')) then
      -- Finished, revoked, or living under another entry: this one has nothing to say any more.
      redis.call('XACK', key, GROUP, entry)
      redis.call('XDEL', key, entry)
    elseif gave_back or (#ids > 0 and taken_bytes + #blob > max_bytes) then
      redis.call('XCLAIM', key, GROUP, 'returned', 0, entry, 'JUSTID')
      gave_back = true
    else
      taken_bytes = taken_bytes + #blob
      local attempt, first, retried = 1, 0, 0
      if s then
        attempt, first = s.attempts + 1, s.first
        s.token, s.phase, s.entry, s.attempts = token, suspect and 'R' or phase, entry, attempt
        s.name, retried = name, retries(s)
        if s.phase == 'R' then
          s.started = now
          if first == 0 then s.first, first = now, now end
        end
        lines[#lines + 1] = id
        lines[#lines + 1] = format(s)
      else
        if phase == 'R' then first = now end
        lines[#lines + 1] = id
        lines[#lines + 1] = token .. ' ' .. phase .. ' ' .. name .. ' ' .. entry .. ' 1 0 0 '
          .. int(first) .. ' ' .. int(first) .. ' -'
      end
      if suspect or phase == 'R' then redis.call('ZADD', running, int(now), id) end
      ids[#ids + 1] = id
      lease_args[#lease_args + 1] = int(now + lease_ms)
      lease_args[#lease_args + 1] = id
      local n = #reply
      reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4] = name, entry, id, blob
      reply[n + 5], reply[n + 6], reply[n + 7] = attempt, retried, int(first)
    end
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
        gave_back = true -- a suspect is alone: nothing is added to it
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
  if not key or #ids >= count or gave_back then
    work_left = true
    break
  end
  if serve(name, key) then redis.call('ZREM', ready, name) else work_left = true end
end

if #ids > 0 then
  redis.call('HSET', state, unpack(lines))
  redis.call('ZADD', leases, unpack(lease_args))
  redis.call('HSET', claims, consumer, ARGV[2] .. ' ids ' .. table.concat(ids, ' '))
end
-- What is left, here or in streams that only others serve, is another child's: ring for the next one. A child
-- that got nothing does not ring for itself: it claims again, or what is left is a suspect or not for it.
if work_left and #ids > 0 then
  for i = 1, wake_count do ring(KEYS[7 + i]) end
elseif #ids > 0 and filter_mode == 'except' and redis.call('ZCARD', ready) > 0 then
  ring(KEYS[8])
elseif #ids == 0 and work_left and flags == 0 then
  flags = 4
end
reply[3] = flags
return reply
