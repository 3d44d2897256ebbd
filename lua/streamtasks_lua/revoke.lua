#!lua flags=allow-oom
-- revoke: end a message before it finishes; if somebody holds it, its outcome will be REVOKED whatever it does.
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
-- KEYS[11,12] finished STREAM   keys.finished(hour) of the hour in ARGV[3] and of the next one
-- KEYS[13,14] counts   HASH     keys.counts(hour), likewise
-- KEYS[15] links       HASH     keys.links
-- KEYS[16] events      STREAM   keys.events
-- KEYS[17] waiting     ZSET     keys.waiting
-- KEYS[18] limits      HASH     keys.limits
-- KEYS[19] asking      ZSET     keys.asking
-- KEYS[20] record      STRING   keys.record(id)
-- KEYS[21] unfolding   ZSET     keys.unfolding
-- KEYS[22] workflow    HASH     keys.workflow(ARGV[8])
-- KEYS[23..] pair      STREAM, LIST   keys.stream(name), keys.queue_wake(queue) of ARGV[7], if it is given
-- ARGV[1] id
-- ARGV[2] 1: end it also while it runs
-- ARGV[3] hour of KEYS[11]: hours since the epoch as the caller thinks
-- ARGV[4] how long the finished and counts keys of an hour are kept after it, ms
-- ARGV[5] how long the record is kept, or that this unknown id is revoked, ms
-- ARGV[6] events kept, 0: none are written
-- ARGV[7] name of the message's stream, "" if the caller does not know it
-- ARGV[8] the workflow of which it may be a node, by its id; "": none
--
-- Returns {now ms, code, name}: 0 unknown: remembered (a record "0 <now ms>", a tombstone), so that it is REVOKED at once
--         should it be enqueued; 1 gone: it was waiting, and is finished as REVOKED (also if an earlier call did that);
--         2 marked: it is held, in phase X from now on; 3 finished already, or a callback message: nothing was done;
--         4 it waits, and ARGV[7] must name its stream: the name, or "" if its queue and priority stand only in
--         its envelope; nothing was done;
--      or {"hour", now ms}: ARGV[3] is neither this hour nor the one before; nothing was done.
-- Moves:  ready | suspect | delayed | blocked | limited -> finished; claimed | running -> revoked while held (X)
--         Its entry stays in its stream, and whoever claims it drops it. Who waits for it (`links`) goes on, to fail. A
--         callback message has a child do what belongs to the outcome. Workers are told "revoke <id> <1: end it>".
-- Safe to repeat: yes. Clock: server.
-- include: clock, line, streams, delay, tell, callback, links, rate, limit, index, workflow
local keys = {
  messages = KEYS[1], state = KEYS[2], delayed = KEYS[4], ready = KEYS[5], streams = KEYS[6], wake = KEYS[7],
  control = KEYS[8], done = KEYS[9], totals = KEYS[10], links = KEYS[15],
  waiting = KEYS[17], limits = KEYS[18], asking = KEYS[19],
}
local messages, state, history, delayed, control, totals = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[8], KEYS[10]
local links, events, waiting, record = KEYS[15], KEYS[16], KEYS[17], KEYS[20]
local id, terminate, hour, keep_ms, record_ms = ARGV[1], ARGV[2] == '1', tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local events_cap, given = ARGV[6], ARGV[7]
local now = now_ms()
local this_hour = math.floor(now / 3600000)
if this_hour ~= hour and this_hour ~= hour + 1 then return { 'hour', now } end
local finished, counts = KEYS[11 + this_hour - hour], KEYS[13 + this_hour - hour]
local now_text = int(now)

local function tell_event(kind, detail)
  if events_cap ~= '0' then
    redis.call('XADD', events, 'MAXLEN', '~', events_cap, '*', 'kind', kind, id, detail)
  end
end

if is_callback(id) then return { now, 3, '' } end
local known = redis.call('GETRANGE', record, 0, 255)
if known ~= '' and string.sub(known, 1, 2) ~= '0 ' then
  return { now, known:match('^%d+ %d+ (%u+ %S+)') == 'REVOKED -' and 1 or 3, '' }
end
local body = redis.call('HGET', messages, id)
if not body then
  redis.call('SET', record, '0 ' .. now_text, 'PX', record_ms)
  if known == '' then
    redis.call('XADD', finished, '*', id, 'REVOKED -')
    keep_until(finished, (this_hour + 1) * 3600000 + keep_ms)
  end
  return { now, 0, '' }
end
local line = redis.call('HGET', state, id)
local s = line and parse(line)
if s and (s.phase == 'C' or s.phase == 'R' or s.phase == 'X') then
  s.phase = 'X'
  mark(s, 'x', (terminate or mark_of(s, 'x') == 'terminate') and 'terminate' or 'revoked')
  redis.call('HSET', state, id, format(s))
  redis.call('SPUBLISH', control, 'revoke ' .. id .. ' ' .. (terminate and '1' or '0'))
  tell_event('revoked', terminate and 'terminate' or 'wait')
  return { now, 2, '' }
end
local name = s and s.name ~= '-' and s.name or given
if name == '' or name ~= given then return { now, 4, name } end

-- It waits somewhere: whatever it is in forgets it, or finds nothing under its id.
local attempts, first, reports = 0, '0', ''
if s then
  attempts, first = s.attempts, int(s.first)
  reports = redis.call('HGET', history, id) or ''
  redis.call('HDEL', history, id)
  redis.call('ZREM', delayed, id)
  redis.call('HDEL', state, id)
  if s.phase == 'W' then
    limiting().stop_waiting(waiting, s, id)
  elseif mark_of(s, 'l') then
    limiting().not_admitted(keys, s, id)
  end
end
redis.call('HDEL', messages, id)
redis.call('SET', record, revoked_record(now_text, '-', first, '0', attempts, body, reports), 'PX', record_ms)
redis.call('XADD', finished, '*', id, 'REVOKED ' .. name)
redis.call('HINCRBY', counts, math.floor(now / 60000) % 60 .. ' ' .. name:match(':(.*)$') .. ' REVOKED', 1)
keep_until(finished, (this_hour + 1) * 3600000 + keep_ms)
keep_until(counts, (this_hour + 1) * 3600000 + keep_ms)
redis.call('HINCRBY', totals, 'REVOKED', 1)
tell(keys.done, id)
local stream = { key = KEYS[23], wake = KEYS[24] }
call_back(keys, stream, name, id, now_text .. ' ')
local children = redis.call('HGET', links, id)
if children then free_children(keys, id, children, false, now, MOST_FREED_AT_ONCE) end
local after = s and ARGV[8] ~= '' and mark_of(s, 'w')
if after then
  keys.unfolding, keys.budget, keys.accepted = KEYS[21], MOST_RELEASED, events_cap ~= '0' and {}
  local flow = open_workflow(ARGV[8], KEYS[22])
  node_ended(keys, { [name] = stream }, now, flow, id, id:match('%d+$'), after, 'REVOKED', '', tonumber(record_ms))
  close_workflow(keys, flow)
end
tell_event('settled', 'REVOKED')
if keys.accepted and #keys.accepted > 0 then
  redis.call('XADD', events, 'MAXLEN', '~', events_cap, '*', 'kind', 'accepted', unpack(keys.accepted))
end
return { now, 1, '' }
