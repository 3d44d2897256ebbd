#!lua flags=allow-oom
-- revoke: end up to 100 messages before they finish; of those that are held, the outcome will be REVOKED whatever their
--         holders do.
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
-- KEYS[17] unfolding   ZSET     keys.unfolding
-- KEYS[18] listeners   STRING   keys.listeners
-- KEYS[19] paused      ZSET     keys.paused
-- KEYS[20] paused_ready ZSET    keys.paused_ready
-- KEYS[21] waits       ZSET     keys.waits
-- KEYS[22] counts      HASH     keys.counts(hour)
-- KEYS[23] counts_next HASH     keys.counts(hour + 1)
-- KEYS[24..] pairs     STREAM, LIST   keys.stream(name), keys.queue_wake(queue): those the caller knows of; then
--          records     STRING   keys.record(id), one per message; then
--          workflows   HASH     keys.workflow(id), one per workflow of which a message may be a node; then
--          indexes     STREAM   keys.finished(hour, class), keys.finished(hour + 1, class) of the records' class
-- ARGV[1] terminate: 1: end them also while they run
-- ARGV[2] hour: since 1970, as the caller thinks
-- ARGV[3] keep_ms: how long the counts of an hour are kept after it
-- ARGV[4] retentions: hours of the records' retention class
-- ARGV[5] record_ms: how long the records are kept, and how long it is remembered that an unknown id is revoked
-- ARGV[6] events_kept: how many, 0: none are written
-- ARGV[7] most_bytes: of bodies
-- ARGV[8] workflow_count: number of workflows
-- ARGV[9] stream_count: number of streams
-- ARGV[10..] names of the streams, ids of the workflows; then per message 2 values: id, and the number of its stream from 1,
--         if the caller has read it in the envelope, else 0
--
-- Returns {now ms, then per message, as many as fit, at least one: code, name}: call again with the others. Code 0: unknown:
--         remembered (a record "0 <now ms>", a tombstone), so that it is REVOKED should it be enqueued; of a node whose
--         workflow is not live, its workflow remembers it, too, and it is revoked when that is; 1 gone: it was
--         waiting, and is finished as REVOKED (also if an earlier call did that); 2 marked: it is held, in phase X from now
--         on; 3 finished already, or a callback message: nothing was done; 4 it waits, and the call must bring its stream:
--         the name, or "" if its queue and priority stand only in its envelope; nothing was done;
--      or {"hour", now ms}: ARGV[2] is neither this hour nor the one before; nothing was done.
-- Budget: 100 messages, 512 KiB of their bodies and one more; 100 that waited for them, 100 nodes that followed them.
-- Moves:  ready | suspect | delayed | blocked | limited -> finished; claimed | running -> revoked while held (X)
--         Its entry stays in its stream, and the claim that meets it drops it. What waits for it (`links`) goes on, to fail.
--         A callback message has a child do what belongs to an outcome that is heard of (include/heard.lua). Workers are told "revoke <id> <1: end it>".
-- Role:   producer
-- Safe to repeat: yes. Clock: server.
-- include: clock, streams, line, events, callback_id, finish, revoked
local terminate, workflow_count = args.terminate == '1', tonumber(args.workflow_count)
local room = tonumber(args.most_bytes)
local first_workflow, first_record = args.more + stream_count, keys.more + 2 * stream_count
local first_member = first_workflow + workflow_count
local count = (#ARGV + 1 - first_member) / 2
has_nodes = workflow_count > 0
for w = 0, workflow_count - 1 do workflow_keys[ARGV[first_workflow + w]] = KEYS[first_record + count + w] end

-- ending_of(name): how messages of one stream end; they share it.
local ends = {}
local function ending_of(name)
  if not ends[name] then
    ends[name] = ending('REVOKED', name, tonumber(args.record_ms))
    ends[name].hears = true
  end
  return ends[name]
end
-- leave_limit(s, id): a message that has a rate limit waits for it no more.
local leave_limit_made
local function leave_limit(s, id)
  if not leave_limit_made then
    -- include: waiting
    leave_limit_made = function(one, its_id)
      if one.phase == 'W' then stop_waiting(one, its_id) else lose_token(one, its_id) end
    end
  end
  leave_limit_made(s, id)
end
-- hold(s, id): mark a message that is held.
local function hold(s, id)
  s.phase = 'X'
  mark(s, 'x', (terminate or mark_of(s, 'x') == 'terminate') and 'terminate' or 'revoked')
  redis.call('HSET', keys.state, id, format(s))
  redis.call('SPUBLISH', keys.control, 'revoke ' .. id .. ' ' .. (terminate and '1' or '0'))
  note('revoked', id, terminate and 'terminate' or 'wait')
end
-- remember_node(id): note a node of a workflow that is not live; return whether it is one. What the call notes is written
-- once for each workflow, by write_noted().
local notes = {}
local function remember_node(id)
  local workflow, number = id:match('^(.+)%.w(%d+)$')
  local key = workflow and workflow_keys[workflow]
  if not key or tostring(tonumber(number)) ~= number or redis.call('HEXISTS', key, 'live') == 1 then return false end
  if redis.call('HSET', key, 'x' .. number, '1') == 1 then
    notes[key] = (notes[key] or '') .. 'n' .. number .. (terminate and '!\n' or '\n')
  end
  return true
end
local function write_noted()
  for key, lines in pairs(notes) do
    redis.call('HSET', key, 'cancel', (redis.call('HGET', key, 'cancel') or '') .. lines)
    if redis.call('HEXISTS', key, 'nodes') == 0 then redis.call('PEXPIRE', key, args.record_ms) end
  end
end
-- revoke(id, record, given): code and name of one message; see Returns. `given`: the name of its stream, "": not known.
local function revoke(id, record, given)
  if is_callback(id) then return 3, '' end
  local known = redis.call('GETRANGE', record, 0, 255)
  if known ~= '' and string.sub(known, 1, 2) ~= '0 ' then
    return known:match('^%d+ %d+ (%u+ %S+)') == 'REVOKED -' and 1 or 3, ''
  end
  local size = redis.call('HSTRLEN', keys.messages, id)
  if size == 0 then
    if has_nodes then remember_node(id) end
    redis.call('SET', record, '0 ' .. int(now), 'PX', args.record_ms)
    return 0, ''
  end
  local line = redis.call('HGET', keys.state, id)
  local s = line and parse(line)
  if s and (s.phase == 'C' or s.phase == 'R' or s.phase == 'X') then
    hold(s, id)
    return 2, ''
  end
  if s and s.phase == 'B' and has_nodes and remember_node(id) then return 0, '' end
  local name = s and s.name ~= '-' and s.name or given
  if not by_name[name] then return 4, name end
  room = room - size
  -- It waits somewhere: that set forgets it, or finds nothing under its id.
  if s then
    if s.phase == 'D' then
      -- include: delay
      unpark(id, s.name)
    end
    if mark_of(s, 'l') then leave_limit(s, id) end
  end
  local of = ending_of(name)
  of.has_past = s and (s.attempts > 0 or s.name == '-') -- of a damaged line the past is not known
  local rest = revoked_record('-', s and int(s.first) or '0', '0', s and s.attempts or 0, redis.call('HGET', keys.messages, id))
  finish(of, id, record, rest, '0', line)
  return 1, ''
end

local reply = { now }
for i = 0, count - 1 do
  if room <= 0 then break end
  local at = first_member + 2 * i
  local number = tonumber(ARGV[at + 1])
  reply[2 * i + 2], reply[2 * i + 3] = revoke(ARGV[at], KEYS[first_record + i],
    number > 0 and ARGV[args.more - 1 + number] or '')
end
write_noted()
write_finished()
write_events()
return reply
