#!lua flags=allow-oom
-- unfold: do the next bounded step of what a workflow has to do besides finishing nodes.
--
-- KEYS[1] workflow     HASH     keys.workflow(id)
-- KEYS[2] messages     HASH     keys.messages
-- KEYS[3] state        HASH     keys.state
-- KEYS[4] delayed      ZSET     keys.delayed
-- KEYS[5] ready        ZSET     keys.ready
-- KEYS[6] streams      ZSET     keys.streams
-- KEYS[7] wake         LIST     keys.wake
-- KEYS[8] control      CHANNEL  keys.control
-- KEYS[9] waiting      ZSET     keys.waiting
-- KEYS[10] limits      HASH     keys.limits
-- KEYS[11] asking      ZSET     keys.asking
-- KEYS[12] unfolding   ZSET     keys.unfolding
-- KEYS[13] done        CHANNEL  keys.done; one of sixteen by the id: ":" and a hexadecimal digit follow
-- KEYS[14] events      STREAM   keys.events
-- KEYS[15..] pairs     STREAM, LIST   keys.stream(name), keys.queue_wake(queue): those the caller knows of
-- ARGV[1] id of the workflow
-- ARGV[2] what to do: "go" on; "live": let it begin, if all of its nodes are there; "cancel": note that ARGV[3] is to
--         be revoked; "canceled": note that it has been
-- ARGV[3] whom: the number of a fan-in (all that ends with it) or "all", and "!" behind it: also what runs
-- ARGV[4] for how long the caller looks after what is left, ms: until then no keeper does
-- ARGV[5] how long a finished workflow is kept, ms
-- ARGV[6] events kept, 0: none are written
-- ARGV[7] number of streams; then their names
--
-- Returns {now ms, code, more, whom}: code 0 nothing is known of it; 1 it is not live; 2 live. more: 1 there is more to
--         do at once. whom: who must be revoked, as in ARGV[3], one a line.
-- Moves:  blocked -> ready | delayed | waiting for its limit; blocked -> (nothing), if it has not become live in time
-- Safe to repeat: yes. Clock: server.
-- include: clock, line, streams, delay, tell, rate, limit, workflow
local workflow, messages, state, unfolding = KEYS[1], KEYS[2], KEYS[3], KEYS[12]
local keys = {
  state = state, delayed = KEYS[4], ready = KEYS[5], streams = KEYS[6], wake = KEYS[7], control = KEYS[8],
  waiting = KEYS[9], limits = KEYS[10], asking = KEYS[11], unfolding = unfolding, budget = MOST_RELEASED,
}
local of = { id = ARGV[1], key = workflow }
local verb, whom, mine_ms, keep_ms = ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local by_name = given_streams(15, tonumber(ARGV[7]), 8)
keys.accepted = ARGV[6] ~= '0' and {}
local now = now_ms()
local known = redis.call('HMGET', workflow, 'nodes', 'live', 'staged', 'heads', 'done')
local nodes, heads = tonumber(known[1] or 0), tonumber(known[4] or 0)
if not known[1] then
  redis.call('ZREM', unfolding, of.id)
  return { now, 0, 0, '' }
end
if not known[2] and verb == 'live' then
  if tonumber(known[3] or 0) < nodes or redis.call('HEXISTS', workflow, 'thrown') == 1 then return { now, 1, 0, '' } end
  redis.call('HSET', workflow, 'live', int(now))
  known[2] = true
  if heads > 0 then redis.call('HSET', workflow, 'todo', string.format('0 %d -\n', heads - 1)) end
  if nodes == 0 then
    redis.call('PEXPIRE', workflow, keep_ms)
    tell(KEYS[13], of.id)
  end
  local late = redis.call('HGET', workflow, 'late')
  if late then
    redis.call('HSET', workflow, 'late', (late:gsub('(%d+) (%d+)', function(number, ms)
      return number .. ' ' .. int(now + ms)
    end)))
  end
elseif not known[2] then
  local due = tonumber(redis.call('ZSCORE', unfolding, of.id) or 0)
  if due > now then return { now, 1, 0, '' } end
  -- Whoever wrote it never made it live: it goes, from the last node on.
  local left = tonumber(redis.call('HGET', workflow, 'thrown') or nodes)
  for number = left - 1, math.max(0, left - 100), -1 do
    redis.call('HDEL', messages, of.id .. '.w' .. number)
    redis.call('HDEL', state, of.id .. '.w' .. number)
  end
  if left > 100 then
    redis.call('HSET', workflow, 'thrown', left - 100)
    return { now, 1, 1, '' }
  end
  redis.call('DEL', workflow)
  redis.call('ZREM', unfolding, of.id)
  return { now, 0, 0, '' }
end
local cancel = redis.call('HGET', workflow, 'cancel') or ''
if verb == 'cancel' and tonumber(known[5] or 0) < nodes then
  if not ('\n' .. cancel):find('\n' .. whom .. '\n', 1, true) then cancel = cancel .. whom .. '\n' end
  redis.call('HSET', workflow, 'cancel', cancel)
elseif verb == 'canceled' then
  local from, to = ('\n' .. cancel):find('\n' .. whom .. '\n', 1, true)
  if from then cancel = cancel:sub(1, from - 1) .. cancel:sub(to) end
  if cancel == '' then redis.call('HDEL', workflow, 'cancel') else redis.call('HSET', workflow, 'cancel', cancel) end
end
local late, next_look = redis.call('HGET', workflow, 'late'), nil
if late then
  local rest = ''
  for number, at in late:gmatch('(%d+) (%d+)\n') do
    if tonumber(at) > now then
      rest = rest .. number .. ' ' .. at .. '\n'
      next_look = math.min(next_look or tonumber(at), tonumber(at))
    else
      local join = read_fan_in(workflow, number)
      if join and join.phase == 'o' and join.succeeded + join.failed < join.members then
        local doom = join.collects == 'C' and '-' or 'late:' .. of.id
        join.phase = doom == '-' and 'r' or 'f'
        release_nodes(keys, by_name, of, join.from, join.to, doom, now)
        if join.cancels == 'y' then
          join.cancels = 'd'
          cancel = with_canceled(cancel, number)
          redis.call('HSET', workflow, 'cancel', cancel)
        end
        write_fan_in(workflow, number, join)
      end
    end
  end
  if rest == '' then redis.call('HDEL', workflow, 'late') else redis.call('HSET', workflow, 'late', rest) end
end
local todo = redis.call('HGET', workflow, 'todo')
while todo and keys.budget > 0 do
  local from, to, doom, rest = todo:match('^(%d+) (%d+) (%S+)\n(.*)$')
  from, to = tonumber(from), tonumber(to)
  local last = math.min(to, from + keys.budget - 1)
  for number = from, last do release_node(keys, by_name, of.id .. '.w' .. number, doom, now) end
  keys.budget = keys.budget - (last - from + 1)
  todo = last < to and string.format('%d %d %s\n', last + 1, to, doom) .. rest or rest
  if todo == '' then todo = nil end
end
if todo then redis.call('HSET', workflow, 'todo', todo) else redis.call('HDEL', workflow, 'todo') end
if todo or cancel ~= '' then
  redis.call('ZADD', unfolding, int(now + mine_ms), of.id)
elseif next_look then
  redis.call('ZADD', unfolding, int(next_look), of.id)
  redis.call('SPUBLISH', keys.control, 'unfold')
else
  redis.call('ZREM', unfolding, of.id)
end
if keys.accepted and #keys.accepted > 0 then
  redis.call('XADD', KEYS[14], 'MAXLEN', '~', ARGV[6], '*', 'kind', 'accepted', unpack(keys.accepted))
end
return { now, 2, todo and 1 or 0, cancel }
