#!lua flags=allow-oom
-- claim: give a child the next messages, best priority first, and a token that proves it.
--
-- KEYS[1] ready        ZSET     keys.ready
-- KEYS[2] messages     HASH     keys.messages
-- KEYS[3] state        HASH     keys.state
-- KEYS[4] leases       ZSET     keys.leases
-- KEYS[5] running      ZSET     keys.running
-- KEYS[6] dead         STREAM   keys.dead
-- KEYS[7] batches      HASH     keys.batches
-- KEYS[8] limits       HASH     keys.limits
-- KEYS[9] asking       ZSET     keys.asking
-- KEYS[10] control     CHANNEL  keys.control
-- KEYS[11] news        CHANNEL  keys.news; one of sixteen by the id: ":" and a hexadecimal digit follow
-- KEYS[12] events      STREAM   keys.events
-- KEYS[13] watchers    STRING   keys.watchers
-- KEYS[14] reserved    HASH     keys.reserved: for whom the next suspect of a stream is reserved
-- KEYS[15] dead_sizes  ZSET     keys.dead_sizes
-- KEYS[16] dead_bytes  STRING   keys.dead_bytes
-- KEYS[17] paused      ZSET     keys.paused
-- KEYS[18] set_aside   ZSET     keys.set_aside: where messages of paused tasks lie
-- KEYS[19] last_claim  STRING   keys.claim(consumer): its last sequence, and what became of it
-- KEYS[20] suspect     STRING   keys.suspect(worker): the claim of the last suspect that this worker took
-- KEYS[21..] wake lists LIST    the lists this child waits on; then
--          streams     STREAM   keys.stream(name): the caller's candidates
-- ARGV[1] consumer: its name
-- ARGV[2] sequence: rises with each claim of this consumer; the same one gets the same messages
-- ARGV[3] most: at most 100 messages; 0: only look whether a suspect waits
-- ARGV[4] lease_ms: lease of the claim
-- ARGV[5] alone: 1 if the child has nothing else in hand (only then it gets a suspect), 0 if it has; -1: its worker may hold
--         a suspect of another shard, so it gets none, and none is reserved for it
-- ARGV[6] most_bytes: of envelopes
-- ARGV[7] dead_kept: most dead letters
-- ARGV[8] dead_bytes_kept: most bytes of them; the oldest go
-- ARGV[9] events_kept: how many, 0: none are written
-- ARGV[10] wake_count: number of wake lists
-- ARGV[11] filter_count: number of queue names
-- ARGV[12] filter_mode: how they count: "all", "only" or "except"
-- ARGV[13] listens: 1 if the child serves several shards: it does not wait on lists, its worker listens to the channels of
--          these names, and it is told what is left
-- ARGV[14] least: nothing of a lower priority is claimed, because another shard has better; only for a child that listens
-- ARGV[15..] those queue names; then the names of the candidate streams
--
-- Returns {"ok", now ms, flags, then per stream: name, {entry, id, "<enqueued ms> <envelope>", ...}, {number, counts, ...}}
--           number: of a message among those of its stream, from 1; those without counts are new: "1 0 0"
--           counts: "<attempt> <retries before it> <first started ms, 0 if none>", and, if it must not run but only be
--           settled, a fourth word that says why: "revoked", or "parent:<id>" of the one that failed
--           flags: 1 a suspect is reserved for this child, which must empty its hands, 2 only streams not served are ready,
--           4 nothing was found yet but more is ready: claim again at once, 8 this is a suspect: run it alone;
--           16 times (101 + the best priority of what is left), 0 if nothing is, for a child that listens
--      or {"streams", now ms, name...}: a better stream is ready than those given; nothing was claimed
--      or {"void", now ms}: this sequence was given up by hand_back; nothing was claimed.
-- Budget: 100 messages, 512 KiB of bodies and one more, 16 streams of those that are ready; 5,000 old dead letters per garbage entry.
-- Moves:  ready -> claimed | ready -> running (count 1, or a suspect) | garbage entry -> dead letter
--         of a paused task: ready | suspect -> set aside: its entry goes to the consumer "paused:<task>", who is nobody
-- Role:   worker
-- Safe to repeat: yes, by sequence. Clock: server.
-- include: clock, group, wake, channel, events
local consumer, sequence, most, alone = args.consumer, tonumber(args.sequence), tonumber(args.most), args.alone == '1'
local most_bytes, wake_count, filter_count = tonumber(args.most_bytes), tonumber(args.wake_count), tonumber(args.filter_count)
local filter_mode = args.filter_mode
local listens, least = args.listens == '1', tonumber(args.least)
local MOST_TURNS, MOST_READ = 4, 64
local token = consumer .. '#' .. args.sequence

if listens then
  -- include: listen
  for i = keys.more, keys.more + wake_count - 1 do
    if redis.call('LLEN', KEYS[i]) ~= 2 then publish_next(KEYS[i]) end
  end
end

-- lines(): what is needed for messages with a past; it is made when the first one comes by.
local lines_made
local function lines()
  if not lines_made then
    -- include: held, limit_of
    local function counts_of(s)
      local counts = s.attempts .. ' ' .. (s.attempts - 1 - s.crashes - s.lost) .. ' ' .. int(s.first)
      local reason = mark_of(s, 'x')
      return reason and counts .. ' ' .. (reason == 'terminate' and 'revoked' or reason) or counts
    end
    lines_made = {
      parse = parse, format = format, mark_of = mark_of, held_by = held_by, limit_of = limit_of, counts_of = counts_of,
    }
  end
  return lines_made
end

-- include: repeated_claim
if repeated then return repeated end

-- include: candidates
if #order == 0 then
  -- A child that excludes queues waits on the list of those who serve them: pass the token on.
  if any_ready and filter_mode == 'except' then wake_one(KEYS[keys.more]) end
  return { 'ok', now, any_ready and 2 or 0 }
end

local key_of, first_stream, first_name = {}, keys.more + wake_count, args.more + filter_count
for i = first_stream, #KEYS do key_of[ARGV[first_name + i - first_stream]] = KEYS[i] end
-- is_worse(name): whether what this stream holds is to be left, because it is worse than what another shard has.
local function is_worse(name)
  return listens and least > -100 and tonumber(name:match('^(-?%d+):')) < least
end
if not key_of[order[1]] and not is_worse(order[1]) then return { 'streams', now, unpack(order) } end

-- include: parked

local reply, ids, taken, flags, taken_bytes = { 'ok', now, 0 }, {}, 0, 0, 0
-- include: one_suspect

local started = {} -- each that runs from now on
local limited = {} -- limit and id of each claimed message that has one
local new_lines, phase = {}, (most == 1 and 'R' or 'C')
local now_text = int(now)
-- Not started: as many zeros as a time has digits. Servers keep a hash of up to 512 short values as a list, which they search
-- from its beginning for each id; a value of more than 64 bytes makes it a table.
local fresh_first = phase == 'R' and now_text or '0000000000000'
local fresh_counts = phase == 'R' and '1 0 ' .. fresh_first
local gave_back, chosen, work_left, left = false, {}, false, nil
-- pauses: what is needed if tasks are paused; false: none is; nil: not known yet. look: entries to look at, at least: more
-- and more while all are of paused tasks. tokens_lost: of messages that were set aside, as in `limited`.
local pauses, look, tokens_lost = nil, 1, {}

for _, name in ipairs(order) do
  local key = key_of[name]
  if is_worse(name) then
    work_left, left, is_skipped = true, left or name, true -- not to be claimed again at once
    break
  elseif not key or (most > 0 and taken >= most) or gave_back then
    work_left, left = true, left or name
    break
  end
  local list, counts_list, listed, drained, before = nil, nil, 0, false, token .. ' ' .. phase .. ' ' .. name .. ' '
  local after = ' 1 0 0 ' .. fresh_first .. ' ' .. fresh_first .. ' -'
  -- First a suspect; then returned entries and new ones, until the stream is drained or the hands are full. Entries
  -- without a message only cost a turn.
  for turn = 0, MOST_TURNS do
    local entries, is_suspect, is_new, wanted = {}, turn == 0, false, most - taken
    if is_suspect then
      local suspects = parked(key, 'suspect', 1)
      if #suspects > 0 then
        if not alone or taken > 0 or not may_take() then
          flags = math.max(flags, leave_suspect(name))
        else
          entries = redis.call('XCLAIM', key, GROUP, consumer, 0, suspects[1])
        end
      end
    else
      if wanted <= 0 or gave_back then break end
      wanted = math.max(wanted, look)
      local returned = parked(key, 'returned', wanted)
      if #returned > 0 then
        entries = redis.call('XCLAIM', key, GROUP, consumer, 0, unpack(returned))
      else
        local read = redis.call('XREADGROUP', 'GROUP', GROUP, consumer, 'COUNT', wanted, 'STREAMS', key, '>')
        is_new, entries = true, read and read[1] and read[1][2] or {}
      end
    end

    -- They belong to this consumer now; what does not fit in the reply goes back to its place.
    local entry_ids, entry_of, count = {}, {}, 0
    for _, entry in ipairs(entries) do
      local fields = entry[2]
      if fields and fields[1] == 'id' and fields[2] then
        count = count + 1
        entry_ids[count], entry_of[count] = fields[2], entry[1]
      else
        -- include: dead
        local reason, data = 'undecodable', table.concat(fields or {}, ' ')
        bury(#reason + #name + #entry[1] + #data, 'reason', reason, 'stream', name, 'entry', entry[1], 'data', data)
        delete_oldest_dead()
        redis.call('XACK', key, GROUP, entry[1])
        redis.call('XDEL', key, entry[1])
      end
    end
    if count > 0 and pauses == nil then
      pauses = false
      if redis.call('EXISTS', keys.paused) == 1 then
        -- include: task_of
        for _, what in ipairs(redis.call('ZRANGEBYSCORE', keys.paused, 1, 1)) do
          pauses = pauses or { task_of = task_of, names = {} }
          pauses.names[what:sub(6)] = true
        end
      end
    end
    local old = count > 0 and redis.call('HMGET', keys.state, unpack(entry_ids))
    local blobs, before_page, known, step, largest, back, aside = nil, 0, 0, 2, 1, {}, nil
    for i = 1, count do
      local id = entry_ids[i]
      if i > known and not gave_back then
        -- Bodies are read in steps, because large ones do not all fit, and to read them would take long.
        local n = math.min(step, count - known, math.max(1, math.floor((most_bytes - taken_bytes) / largest)))
        blobs = redis.call('HMGET', keys.messages, unpack(entry_ids, i, known + n))
        before_page, known, step = known, known + n, math.min(step * 8, MOST_READ)
        if known < count then
          for place = 1, n do
            local blob = blobs[place]
            if blob and #blob > largest then largest = #blob end
          end
        end
      end
      local entry, blob, line = entry_of[i], i <= known and blobs[i - before_page], old[i]
      local s = line and lines().parse(line)
      local lone = s and s.phase == 'S' and not is_suspect -- a suspect with an entry of its own: it was delayed
      local task = pauses and blob and not (s and lines().mark_of(s, 'x')) and pauses.task_of(blob)
      if i > known then
        back[#back + 1] = entry
      elseif not blob or chosen[id] or (s and s.phase ~= 'Q' and s.phase ~= 'S') then
        -- Finished, revoked, or living under another entry: this one stands for nothing any more.
        redis.call('XACK', key, GROUP, entry)
        redis.call('XDEL', key, entry)
      elseif task and pauses.names[task] then
        aside = aside or {}
        aside[task] = aside[task] or {}
        aside[task][#aside[task] + 1] = entry
        local limit = s and lines().limit_of(s)
        if limit then tokens_lost[#tokens_lost + 1] = { limit, id } end
      elseif lone and (not alone or taken > 0 or not may_take()) then
        park(key, 'suspect', { entry })
        if flags ~= 8 then flags = math.max(flags, leave_suspect(name)) end
      elseif gave_back or (taken > 0 and (taken >= most or taken_bytes + #blob > most_bytes)) then
        back[#back + 1] = entry
        gave_back = true
      else
        taken_bytes = taken_bytes + #blob
        local counts, starts = fresh_counts, phase == 'R'
        if s then
          local past = lines()
          local reason = past.mark_of(s, 'x')
          -- One that must not run is not started; but what ends a suspect's holder may be what belongs to its outcome.
          starts = is_suspect or lone or (starts and not reason)
          if lone then gave_back, flags = true, 8 end
          s.token, s.name, s.entry = token, name, entry
          s.phase = reason == 'revoked' and 'X' or starts and 'R' or 'C'
          s.attempts = s.attempts + 1
          if starts then
            s.started = now
            if s.first == 0 then s.first = now end
          end
          counts, line = past.counts_of(s), past.format(s)
          local limit = past.limit_of(s)
          if limit then
            limited[#limited + 1] = limit
            limited[#limited + 1] = id
          end
        else
          line = before .. entry .. after
        end
        if starts then
          redis.call('ZADD', keys.running, now_text, id)
          started[#started + 1] = id
          note('started', id, consumer)
        end
        if not list then
          list, counts_list = {}, {}
          local parts = #reply
          reply[parts + 1], reply[parts + 2], reply[parts + 3] = name, list, counts_list
        end
        new_lines[2 * taken + 1], new_lines[2 * taken + 2] = id, line
        taken = taken + 1
        ids[taken], chosen[id] = id, true
        list[listed + 1], list[listed + 2], list[listed + 3] = entry, id, blob
        listed = listed + 3
        if counts then
          local size = #counts_list
          counts_list[size + 1], counts_list[size + 2] = listed / 3, counts
        end
      end
    end
    if #back > 0 then park(key, 'returned', back) end
    if aside then
      for task, its in pairs(aside) do
        park(key, 'paused:' .. task, its)
        redis.call('ZADD', keys.set_aside, 0, task .. '\0' .. name)
      end
      look = math.min(look * 8, 100)
    end

    if is_suspect and #entries > 0 and taken > 0 then
      gave_back, flags = true, 8 -- a suspect is alone: nothing is added to it
      break
    elseif is_new then
      if gave_back then break end
      -- A full read may have been the last of it: one look past its end settles that.
      if #entries < wanted
        or #redis.call('XRANGE', key, '(' .. entries[#entries][1], '+', 'COUNT', 1) == 0 then
        drained = #parked(key, 'suspect', 1) == 0
        break
      end
    end
  end
  if drained then
    redis.call('ZREM', keys.ready, name)
  else
    work_left, left = true, left or name
  end
  if flags == 8 then redis.call('HDEL', keys.reserved, name) end
end

if taken > 0 then
  redis.call('HSET', keys.state, unpack(new_lines))
  redis.call('ZADD', keys.leases, now + args.lease_ms, token)
  redis.call('HSET', keys.batches, token, taken .. ' ' .. table.concat(ids, ' '))
  redis.call('SET', keys.last_claim, args.sequence .. (flags == 8 and ' alone' or ' ids'), 'PX', 86400000)
  if flags == 8 then redis.call('SET', keys.suspect, token, 'PX', 86400000) end
  for _, id in ipairs(started) do publish(keys.news, id) end
  write_events()
end
if #limited > 0 or #tokens_lost > 0 then
  -- include: limit
  for _, one in ipairs(tokens_lost) do
    local of = read_limit(one[1])
    if of and take_out(of, one[2]) then
      write_limit(one[1], of)
      plan_ask(one[1], of)
    end
  end
  count_starts(limited)
end
-- What is left, here or in streams that only others serve, is another child's: wake the next one. A child that got
-- nothing wakes nobody: it claims again, or what is left is a suspect or not for it.
if work_left and taken > 0 then
  for i = 0, wake_count - 1 do wake_one(KEYS[keys.more + i]) end
elseif taken > 0 and filter_mode == 'except' and redis.call('ZCARD', keys.ready) > 0 then
  wake_one(KEYS[keys.more])
elseif taken == 0 and work_left and flags == 0 and not is_skipped and most > 0 then
  flags = 4
end
if listens then
  -- Behind the streams of this claim there may be more: what they hold is no better than the last of these.
  left = left or last_of_many
  if left then flags = flags + 16 * (101 + tonumber(left:match('^(-?%d+):'))) end
end
reply[3] = flags
return reply
