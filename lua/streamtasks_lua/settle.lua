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
-- KEYS[11] links       HASH     keys.links
-- KEYS[12] events      STREAM   keys.events
-- KEYS[13] watchers    STRING   keys.watchers
-- KEYS[14] waiting     ZSET     keys.waiting
-- KEYS[15] limits      HASH     keys.limits
-- KEYS[16] asking      ZSET     keys.asking
-- KEYS[17] progress    HASH     keys.progress
-- KEYS[18] leases      ZSET     keys.leases
-- KEYS[19] running     ZSET     keys.running
-- KEYS[20] dead        STREAM   keys.dead
-- KEYS[21] dead_sizes  ZSET     keys.dead_sizes
-- KEYS[22] dead_bytes  STRING   keys.dead_bytes
-- KEYS[23] batches     HASH     keys.batches
-- KEYS[24] news        CHANNEL  keys.news; one of sixteen, as keys.done
-- KEYS[25] unfolding   ZSET     keys.unfolding
-- KEYS[26] listeners   STRING   keys.listeners
-- KEYS[27] paused      ZSET     keys.paused
-- KEYS[28] paused_ready ZSET    keys.paused_ready
-- KEYS[29] waits       ZSET     keys.waits
-- KEYS[30] counts      HASH     keys.counts(hour)
-- KEYS[31] counts_next HASH     keys.counts(hour + 1)
-- KEYS[32..] pairs     STREAM, LIST   keys.stream(name), keys.queue_wake(queue); then
--          records     STRING   keys.record(id), one per member, then one per follow-up; then keys.record(parent) of
--                               each after= of the follow-ups in order; then
--          workflows   HASH     keys.workflow(id), one per workflow of which a member may be a node; then
--          indexes     STREAM   keys.finished(hour, class), keys.finished(hour + 1, class) of each retention class
-- ARGV[1] hour: since 1970, as the caller thinks
-- ARGV[2] keep_ms: how long the counts of an hour are kept after it
-- ARGV[3] retentions: hours of the retention classes, rising, separated by spaces; a record belongs to the first that is as
--         long as it is kept, or to the last
-- ARGV[4] dead_kept: most dead letters
-- ARGV[5] dead_bytes_kept: most bytes of them; the oldest go
-- ARGV[6] revoked_ms: how long the record of a member is kept that is REVOKED whatever its holder says
-- ARGV[7] callbacks: for which outcomes that are heard of (include/heard.lua) a callback message is sent: "" none, "revoked"
--         members that were revoked while they were held and end otherwise for their holder, "all" those, every final one
--         and every RETRY
-- ARGV[8] events_kept: how many, 0: none are written
-- ARGV[9] member_count: number of members
-- ARGV[10] follow_count: number of follow-ups
-- ARGV[11] stream_count: number of streams
-- ARGV[12] workflow_count: number of workflows
-- ARGV[13] token_count: number of tokens that hold nothing any more after this call
-- ARGV[14..] names of the streams, ids of the workflows, those tokens; then per follow-up 5 values: number of its member
--         from 1, id, number of its stream, terms (include/terms.lua), envelope; then groups of members that end alike,
--         each with a head of 7 values: how many, token, number of their stream, outcome, attempt, record kept for ms
--         (final) or delay ms (RETRY), reason (DEAD, else "");
--         then per member 4 values: id, entry, started ms, and the record without its first two words (final)
--         or the attempt's report, one line of JSON (RETRY; "": it is left to another worker, and has not begun)
--         outcome: SUCCESS FAILURE IGNORED EXPIRED REVOKED DEAD (final), RETRY (runs again after the delay),
--         CALLED (a callback message: it leaves no trace, but its dead letter if it ends as DEAD)
--
-- A member in phase X has been revoked: whatever its outcome is, RETRY included, it is finished as REVOKED. A
-- follow-up is accepted if its member's answer is 1 and its outcome the one that counts. What waits for a finished
-- member (`links`) goes on, and so does its workflow: what the member was the last to be waited for.
--
-- A record is "1 <finished ms> <outcome> <token> <first started ms> <started ms> <attempt> <body bytes>
-- <result bytes>\n<body><result><reports of earlier attempts>"; the first two words and the reports come from here. A
-- result of 64 bytes or more that a workflow keeps is not kept again: its field stands in place of its size.
--
-- Returns {now ms, code...}: 1 done, 2 already done by this token, 0 stale (another holder, or finished);
--      or {"hour", now ms}: ARGV[1] is neither this hour nor the one before; nothing was written.
-- Budget: 100 messages with their follow-ups, or one outcome with at most 100; 512 KiB of them and one outcome
--         more; 100 messages that waited for them, 100 nodes that followed them; 5,000 old dead letters.
-- Moves:  claimed | running -> finished | delayed | ready | waiting for its limit; blocked -> delayed | ready
-- Role:   worker
-- Safe to repeat: yes, by token. Clock: server.
-- include: clock, streams, held, leave, events, channel, finish
local callbacks, member_count, follow_count = args.callbacks, tonumber(args.member_count), tonumber(args.follow_count)
local workflow_count, token_count = tonumber(args.workflow_count), tonumber(args.token_count)
local first_workflow = args.more + stream_count
local first_token = first_workflow + workflow_count
local first_follow = first_token + token_count
local first_group = first_follow + 5 * follow_count
local first_record = keys.more + 2 * stream_count
local redis, ARGV, KEYS, byte = redis, ARGV, KEYS, string.byte
has_nodes = workflow_count > 0
local first_flow = #KEYS - 2 * #retentions - workflow_count + 1
for w = 0, workflow_count - 1 do workflow_keys[ARGV[first_workflow + w]] = KEYS[first_flow + w] end

-- Check all members before the first write.
local ids, groups = {}, {}
do
  local at, first, last = first_group, 1, #ARGV
  while at <= last do
    local size = tonumber(ARGV[at])
    groups[#groups + 1] = {
      first = first, last = first + size - 1, at = at + 7, token = ARGV[at + 1],
      name = ARGV[args.more - 1 + ARGV[at + 2]] or '', outcome = ARGV[at + 3], attempt = ARGV[at + 4],
      ms = ARGV[at + 5], reason = ARGV[at + 6],
    }
    for i = 0, size - 1 do ids[first + i] = ARGV[at + 7 + i * 4] end
    first, at = first + size, at + 7 + size * 4
  end
end
local lines = #ids > 0 and redis.call('HMGET', keys.state, unpack(ids)) or {}
local reply, seen = { now }, {}
for _, group in ipairs(groups) do
  local token, prefix = group.token, group.token .. ' '
  group.phase_at = #prefix + 1
  local known = by_name[group.name]
  for i = group.first, group.last do
    local id, line = ids[i], lines[i]
    if known and held_by(line, prefix) and not seen[id] then
      seen[id] = true
      reply[i + 1] = 1
    elseif seen[id] then
      reply[i + 1] = 2 -- given twice; the first one counts
    elseif not line and group.outcome == 'CALLED' then
      reply[i + 1] = 2 -- it leaves nothing that could tell
    else
      local record = redis.call('GETRANGE', KEYS[first_record + i - 1], 0, 255)
      -- A finished one is told by its record, one that will run again by the last but its marks of its line's words.
      local by = record:match('^%d+ %d+ %u+ (%S+)') or (line and line:match('^%S+ %u %S+ %S+ %d+ %d+ %d+ %d+ %d+ (%S+)'))
      reply[i + 1] = by == token and 2 or 0
    end
  end
end

local retried = 0
-- holder_ended(): two ways to end that are rare; they are made when the first such member comes by.
local holder_ended_made
local function holder_ended()
  if holder_ended_made then return holder_ended_made end
  -- include: place, revoked, reports
  -- The holder was too late: this one has been revoked. Its holder's word only counts as a report, if it is one.
  local function finish_revoked(group, id, record, line, started, report)
    local s, of = parse(line), group.revoked
    if not of then
      of = ending('REVOKED', group.name, tonumber(args.revoked_ms))
      of.has_past, of.hears = true, callbacks ~= ''
      group.revoked = of
    end
    local first = s.first > 0 and int(s.first) or started
    local rest = revoked_record(group.token, first, started, group.attempt,
      redis.call('HGET', keys.messages, id) or '0 ')
    finish(of, id, record, rest, started, line, group.outcome == 'RETRY' and report ~= '' and with_report(id, report) or nil)
  end
  local function retry(group, id, line, started, report)
    local s = parse(line)
    s.settled = s.token
    if report == '' then
      s.attempts = s.attempts - 1
      if s.attempts == 0 then s.first = 0 end
      place(s, id, now + group.ms)
      publish(keys.news, id)
      return
    end
    if s.first == 0 then s.first = tonumber(started) end
    redis.call('HSET', keys.history, id, with_report(id, report))
    place(s, id, now + group.ms)
    retried = retried + 1
    publish(keys.news, id) -- who watches it sees it wait
    note('settled', id, 'RETRY')
    if callbacks == 'all' and is_heard('RETRY', byte(redis.call('HGET', keys.messages, id) or '', 1, 2)) then
      to_call[#to_call + 1] = { group.name, id, group.attempt }
    end
  end
  holder_ended_made = { finish_revoked = finish_revoked, retry = retry }
  return holder_ended_made
end

local dead_letters_made
-- dead_letters(): the functions of include/dead.lua; they are made when the first one is given up on.
local function dead_letters()
  if not dead_letters_made then
    -- include: dead
    dead_letters_made = { bury = bury, delete_oldest = delete_oldest_dead }
  end
  return dead_letters_made
end

local overridden = {}
for _, group in ipairs(groups) do
  local outcome, name, token, phase_at, at, of = group.outcome, group.name, group.token, group.phase_at, group.at - 4, nil
  local entries = by_name[name] and entries_left(by_name[name].key)
  local entries_before = entries and #entries
  local entry_count = entries_before
  if outcome ~= 'RETRY' then
    of = ending(outcome, name, tonumber(group.ms))
    of.has_past, of.hears = group.attempt ~= '1', callbacks == 'all'
  end
  for i = group.first, group.last do
    at = at + 4
    if reply[i + 1] == 1 then
      local id, phase, record = ids[i], byte(lines[i], phase_at), KEYS[first_record + i - 1]
      entry_count = entry_count + 1
      entries[entry_count] = ARGV[at + 1]
      if phase ~= 67 then running[#running + 1] = id end -- C
      if phase == 88 and outcome ~= 'REVOKED' and outcome ~= 'CALLED' then -- X
        overridden[i] = true
        holder_ended().finish_revoked(group, id, record, lines[i], ARGV[at + 2], ARGV[at + 3])
      elseif outcome == 'RETRY' then
        holder_ended().retry(group, id, lines[i], ARGV[at + 2], ARGV[at + 3])
      else
        if outcome == 'DEAD' then
          local message = redis.call('HGET', keys.messages, id) or ''
          dead_letters().bury(#group.reason + #id + #name + #message, 'reason', group.reason, 'id', id, 'stream', name,
            'message', message)
        end
        if outcome == 'CALLED' or (byte(id, 1) == 99 and is_callback(id)) then -- c
          vanish(of, id)
        else
          finish(of, id, record, ARGV[at + 3], ARGV[at + 2], lines[i])
        end
      end
    end
  end
  if entries then leave(token, #entries - entries_before) end
end
write_left()
if dead_letters_made then dead_letters_made.delete_oldest() end

if follow_count > 0 then
  -- include: accept
  local next_parent = first_record + member_count + follow_count
  for f = 1, follow_count do
    local at = first_follow + (f - 1) * 5
    local member, name, terms = tonumber(ARGV[at]), ARGV[args.more - 1 + ARGV[at + 2]] or '', ARGV[at + 3]
    local parent
    if terms ~= '' and terms:find('after=', 1, true) then
      parent = KEYS[next_parent]
      next_parent = next_parent + 1
    end
    if reply[member + 1] == 1 and not overridden[member] and by_name[name] then
      accept(KEYS[first_record + member_count + f - 1], name, ARGV[at + 1], terms, parent, ARGV[at + 4])
    end
  end
end
write_finished()
if retried > 0 then redis.call('HINCRBY', keys.totals, 'RETRY', retried) end
for i = 0, token_count - 1 do release(ARGV[first_token + i]) end
write_events()
return reply
