#!lua flags=allow-oom
-- unfold: do the next bounded step of what a workflow has to do besides finishing nodes.
--
-- KEYS[1] messages     HASH     keys.messages
-- KEYS[2] state        HASH     keys.state
-- KEYS[3] delayed      ZSET     keys.delayed
-- KEYS[4] ready        ZSET     keys.ready
-- KEYS[5] streams      ZSET     keys.streams
-- KEYS[6] wake         LIST     keys.wake
-- KEYS[7] control      CHANNEL  keys.control
-- KEYS[8] waiting      ZSET     keys.waiting
-- KEYS[9] limits       HASH     keys.limits
-- KEYS[10] asking      ZSET     keys.asking
-- KEYS[11] unfolding   ZSET     keys.unfolding
-- KEYS[12] done        CHANNEL  keys.done; one of sixteen by the id: ":" and a hexadecimal digit follow
-- KEYS[13] events      STREAM   keys.events
-- KEYS[14] watchers    STRING   keys.watchers
-- KEYS[15] paused      ZSET     keys.paused
-- KEYS[16] paused_ready ZSET    keys.paused_ready
-- KEYS[17] waits       ZSET     keys.waits
-- KEYS[18] workflow    HASH     keys.workflow(id)
-- KEYS[19..] pairs     STREAM, LIST   keys.stream(name), keys.queue_wake(queue): those the caller knows of
-- ARGV[1] id: of the workflow
-- ARGV[2] verb: what to do: "go" on; "live": let it begin, if all of its nodes are there; "cancel": note that ARGV[3] is
--         to be revoked, also if it has not come yet; "canceled": note that it has been
-- ARGV[3] whom: the number of a fan-in (all that ends with it) or "all", and "!" behind it: also what runs
-- ARGV[4] mine_ms: for how long the caller looks after what is left: until then no keeper does
-- ARGV[5] keep_ms: how long a finished workflow is kept
-- ARGV[6] events_kept: how many, 0: none are written
-- ARGV[7] stream_count: number of streams
-- ARGV[8..] their names
--
-- Returns {now ms, code, more, whom}: code 0 nothing is known of it; 1 it is not live; 2 live. more: 1 there is more to
--         do at once. whom: who must be revoked, as in ARGV[3], one a line; or "n" and the number of a node that was
--         revoked before the workflow was live; as many lines as fit into 4,000 bytes.
-- Budget: 100 nodes.
-- Moves:  blocked -> ready | delayed | waiting for its limit; blocked -> (nothing), if it has not become live in time
-- Role:   producer
-- Safe to repeat: yes. Clock: server.
-- include: clock, line, streams, channel, events, workflow
local id, verb, whom = args.id, args.verb, args.whom
local flow = { id = id, key = keys.workflow }
local known = redis.call('HMGET', keys.workflow, 'nodes', 'live', 'staged', 'heads', 'done')
local nodes, heads = tonumber(known[1] or 0), tonumber(known[4] or 0)
local cancel = redis.call('HGET', keys.workflow, 'cancel') or ''
if verb == 'cancel' and (not known[2] or tonumber(known[5] or 0) < nodes) then
  if not ('\n' .. cancel):find('\n' .. whom .. '\n', 1, true) then cancel = cancel .. whom .. '\n' end
  redis.call('HSET', keys.workflow, 'cancel', cancel)
end
if not known[1] then
  redis.call('ZREM', keys.unfolding, id)
  -- Revoked before it came: that is remembered, and counts when it goes live.
  if cancel ~= '' then redis.call('PEXPIRE', keys.workflow, args.keep_ms) end
  return { now, 0, 0, '' }
end
if not known[2] and verb == 'live' then
  if tonumber(known[3] or 0) < nodes or redis.call('HEXISTS', keys.workflow, 'thrown') == 1 then
    return { now, 1, 0, '' }
  end
  redis.call('HSET', keys.workflow, 'live', int(now))
  known[2] = true
  -- Of what was revoked as a whole before it went live, nothing starts.
  if heads > 0 and not ('\n' .. cancel):find('\nall!?\n') then
    redis.call('HSET', keys.workflow, 'todo', string.format('0 %d -\n', heads - 1))
  end
  if nodes == 0 then
    redis.call('PEXPIRE', keys.workflow, args.keep_ms)
    publish(keys.done, id)
  end
  local late = redis.call('HGET', keys.workflow, 'late')
  if late then
    redis.call('HSET', keys.workflow, 'late', (late:gsub('(%d+) (%d+)', function(number, ms)
      return number .. ' ' .. int(now + ms)
    end)))
  end
elseif not known[2] then
  local due = tonumber(redis.call('ZSCORE', keys.unfolding, id) or 0)
  if due > now then return { now, 1, 0, '' } end
  -- Its producer never made it live: it goes, from the last node on.
  local left = tonumber(redis.call('HGET', keys.workflow, 'thrown') or nodes)
  for number = left - 1, math.max(0, left - 100), -1 do
    redis.call('HDEL', keys.messages, id .. '.w' .. number)
    redis.call('HDEL', keys.state, id .. '.w' .. number)
  end
  if left > 100 then
    redis.call('HSET', keys.workflow, 'thrown', left - 100)
    return { now, 1, 1, '' }
  end
  redis.call('DEL', keys.workflow)
  redis.call('ZREM', keys.unfolding, id)
  return { now, 0, 0, '' }
end
if verb == 'canceled' then
  local from, to = ('\n' .. cancel):find('\n' .. whom .. '\n', 1, true)
  if from then cancel = cancel:sub(1, from - 1) .. cancel:sub(to) end
  if cancel == '' then
    redis.call('HDEL', keys.workflow, 'cancel')
  else
    redis.call('HSET', keys.workflow, 'cancel', cancel)
  end
end
local late, next_look = redis.call('HGET', keys.workflow, 'late'), nil
if late then
  local rest = ''
  -- A workflow that became live in the future: the clock went back since then, and its deadlines with it.
  local back = math.max(0, (tonumber(known[2]) or 0) - now)
  if back > 0 then redis.call('HSET', keys.workflow, 'live', int(now)) end
  for number, at in late:gmatch('(%d+) (%d+)\n') do
    at = int(at - back)
    if tonumber(at) > now then
      rest = rest .. number .. ' ' .. at .. '\n'
      next_look = math.min(next_look or tonumber(at), tonumber(at))
    else
      local join = read_fan_in(keys.workflow, number)
      if join and join.phase == 'o' and join.succeeded + join.failed < join.members then
        local reason = join.collects == 'C' and '-' or 'late:' .. id
        join.phase = reason == '-' and 'r' or 'f'
        release_nodes(flow, join.from, join.to, reason)
        if join.cancels == 'y' then
          join.cancels = 'd'
          cancel = with_canceled(cancel, number)
          redis.call('HSET', keys.workflow, 'cancel', cancel)
        end
        write_fan_in(keys.workflow, number, join)
      end
    end
  end
  if rest == '' then
    redis.call('HDEL', keys.workflow, 'late')
  else
    redis.call('HSET', keys.workflow, 'late', rest)
  end
end
local todo, some_revoked = redis.call('HGET', keys.workflow, 'todo'), ('\n' .. cancel):find('\nn%d') ~= nil
while todo and to_release > 0 do
  local from, to, reason, rest = todo:match('^(%d+) (%d+) (%S+)\n(.*)$')
  from, to = tonumber(from), tonumber(to)
  local last = math.min(to, from + to_release - 1)
  for number = from, last do
    local is_revoked = some_revoked and redis.call('HEXISTS', keys.workflow, 'x' .. number) == 1
    release_node(id .. '.w' .. number, is_revoked and 'revoked' or reason)
  end
  to_release = to_release - (last - from + 1)
  todo = last < to and string.format('%d %d %s\n', last + 1, to, reason) .. rest or rest
  if todo == '' then todo = nil end
end
if todo then redis.call('HSET', keys.workflow, 'todo', todo) else redis.call('HDEL', keys.workflow, 'todo') end
if todo or cancel ~= '' then
  redis.call('ZADD', keys.unfolding, int(now + args.mine_ms), id)
elseif next_look then
  redis.call('ZADD', keys.unfolding, int(next_look), id)
  redis.call('SPUBLISH', keys.control, 'unfold')
else
  redis.call('ZREM', keys.unfolding, id)
end
write_events()
return { now, 2, todo and 1 or 0, #cancel > 4000 and cancel:sub(1, 4000):match('^(.*\n)') or cancel }
