#!lua flags=allow-oom
-- revoke: end a message before it finishes; if it is held, its outcome will be REVOKED whatever its holder does.
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
-- KEYS[13] waiting     ZSET     keys.waiting
-- KEYS[14] limits      HASH     keys.limits
-- KEYS[15] asking      ZSET     keys.asking
-- KEYS[16] unfolding   ZSET     keys.unfolding
-- KEYS[17] counts      HASH     keys.counts(hour)
-- KEYS[18] counts_next HASH     keys.counts(hour + 1)
-- KEYS[19] record      STRING   keys.record(id)
-- KEYS[20] flow        HASH     keys.workflow(ARGV[8])
-- KEYS[21..] pair      STREAM, LIST   keys.stream(name), keys.queue_wake(queue) of the stream, if it is given; then
--          indexes     STREAM   keys.finished(hour, class), keys.finished(hour + 1, class) of the record's class
-- ARGV[1] id: of the message
-- ARGV[2] terminate: 1: end it also while it runs
-- ARGV[3] hour: since 1970, as the caller thinks
-- ARGV[4] keep_ms: how long the counts of an hour are kept after it
-- ARGV[5] retentions: hours of the record's retention class
-- ARGV[6] record_ms: how long the record is kept, or that this unknown id is revoked
-- ARGV[7] events_kept: how many, 0: none are written
-- ARGV[8] workflow: of which it may be a node, by its id; "": none
-- ARGV[9] stream_count: 1 if the caller knows the message's stream, else 0
-- ARGV[10..] the name of that stream
--
-- Returns {now ms, code, name}: 0 unknown: remembered (a record "0 <now ms>", a tombstone), so that it is REVOKED
--         should it be enqueued; 1 gone: it was waiting, and is finished as REVOKED (also if an earlier call did that);
--         2 marked: it is held, in phase X from now on; 3 finished already, or a callback message: nothing was done;
--         4 it waits, and the call must name its stream: the name, or "" if its queue and priority stand only in
--         its envelope; nothing was done;
--      or {"hour", now ms}: ARGV[3] is neither this hour nor the one before; nothing was done.
-- Budget: one message, 20 that waited for it, 100 nodes that followed it.
-- Moves:  ready | suspect | delayed | blocked | limited -> finished; claimed | running -> revoked while held (X)
--         Its entry stays in its stream, and the claim that meets it drops it. What waits for it (`links`) goes on, to fail.
--         A callback message has a child do what belongs to the outcome. Workers are told "revoke <id> <1: end it>".
-- Safe to repeat: yes. Clock: server.
-- include: clock, streams, line, events, callback_id, finish, revoked
local id, terminate = args.id, args.terminate == '1'
if is_callback(id) then return { now, 3, '' } end
local known = redis.call('GETRANGE', keys.record, 0, 255)
if known ~= '' and string.sub(known, 1, 2) ~= '0 ' then
  return { now, known:match('^%d+ %d+ (%u+ %S+)') == 'REVOKED -' and 1 or 3, '' }
end
local body = redis.call('HGET', keys.messages, id)
if not body then
  redis.call('SET', keys.record, '0 ' .. int(now), 'PX', args.record_ms)
  return { now, 0, '' }
end
local line = redis.call('HGET', keys.state, id)
local s = line and parse(line)
if s and (s.phase == 'C' or s.phase == 'R' or s.phase == 'X') then
  s.phase = 'X'
  mark(s, 'x', (terminate or mark_of(s, 'x') == 'terminate') and 'terminate' or 'revoked')
  redis.call('HSET', keys.state, id, format(s))
  redis.call('SPUBLISH', keys.control, 'revoke ' .. id .. ' ' .. (terminate and '1' or '0'))
  note('revoked', id, terminate and 'terminate' or 'wait')
  write_events()
  return { now, 2, '' }
end
local given = stream_count > 0 and ARGV[args.more] or ''
local name = s and s.name ~= '-' and s.name or given
if name == '' or name ~= given then return { now, 4, name } end

-- It waits somewhere: that set forgets it, or finds nothing under its id.
if s then
  redis.call('ZREM', keys.delayed, id)
  if mark_of(s, 'l') then
    -- include: waiting
    if s.phase == 'W' then stop_waiting(s, id) else lose_token(s, id) end
  end
end
local of = ending('REVOKED', name, tonumber(args.record_ms))
of.has_past, of.hears = s and true, true
workflow_keys[args.workflow], has_nodes = keys.flow, args.workflow ~= ''
finish(of, id, keys.record, revoked_record('-', s and int(s.first) or '0', '0', s and s.attempts or 0, body), '0', line)
write_finished()
write_events()
return { now, 1, '' }
