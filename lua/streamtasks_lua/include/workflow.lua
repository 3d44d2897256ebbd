-- Workflows. A node's id is "<workflow>.w<number>". Its state line says what comes after it, in mark w: "<from>-<to>",
-- the nodes that follow it alone; "g<fan-in>.<place>", it is one of those that a fan-in waits for; or "-". The HASH of a
-- workflow tells the rest, see README.md ("Workflows"). Numbers rise from what comes first to what follows.
local NODE = '^(.+)%.w(%d+)$'
local FAN_IN = '^(%d+) (%d+) (%u) (%l) (%-?%d+) (%-?%d+) (%d+) (%d+) (%l)$'
-- How many nodes one call lets go; what is more stands in the field todo, and goes on with unfold.
local MOST_RELEASED = 100
-- Results from this size on, bytes, are kept in the workflow only; a shorter one is no longer than what says where it is.
local KEPT_ONCE = 64
local function read_fan_in(workflow, number)
  local text = redis.call('HGET', workflow, 'g' .. number) or ''
  local members, need, collects, cancels, from, to, succeeded, failed, phase = text:match(FAN_IN)
  if not members then return nil end
  return {
    members = tonumber(members), need = tonumber(need), collects = collects, cancels = cancels,
    from = tonumber(from), to = tonumber(to), succeeded = tonumber(succeeded), failed = tonumber(failed), phase = phase,
  }
end
local function write_fan_in(workflow, number, of)
  redis.call('HSET', workflow, 'g' .. number, string.format('%d %d %s %s %d %d %d %d %s', of.members, of.need,
    of.collects, of.cancels, of.from, of.to, of.succeeded, of.failed, of.phase))
end
-- Let one node go: to its stream, if the call knows that, else through `delayed`, so that promote finds it. `doom`: the
-- reason why it must not run, "-" if it may. `keys.accepted`: who wants events collects id and stream name there.
local function release_node(keys, by_name, id, doom, now)
  local line = redis.call('HGET', keys.state, id)
  local s = line and parse(line)
  if not s or s.phase ~= 'B' then return end
  local due = math.max(now, tonumber(mark_of(s, 'd') or 0), now + tonumber(mark_of(s, 'i') or 0))
  mark(s, 'a', nil)
  mark(s, 'd', nil)
  mark(s, 'i', nil)
  if doom ~= '-' then
    mark(s, 'x', doom)
    due = now
  end
  local stream, accepted = by_name[s.name], keys.accepted
  if accepted then
    accepted[#accepted + 1] = id
    accepted[#accepted + 1] = s.name
  end
  if due > now or not stream then
    s.phase = 'D'
    redis.call('HSET', keys.state, id, format(s))
    park(keys.delayed, keys.control, id, due)
  elseif limit_of(s) then
    limiting().wait_for_limit(keys, s, id, false, true)
  else
    redis.call('HSET', keys.state, id, idle_line(s, 'Q'))
    append(keys.streams, stream, s.name, id)
    make_ready(keys.ready, keys.wake, stream, s.name)
  end
end
-- Note that something is left to do for a workflow: its keeper looks at it at this time, ms.
local function look_again(keys, of, at)
  redis.call('ZADD', keys.unfolding, 'LT', int(at), of.id)
  redis.call('SPUBLISH', keys.control, 'unfold')
end
-- Let the nodes of a range go; those beyond what one call may let go are left to unfold.
local function release_nodes(keys, by_name, of, from, to, doom, now)
  local last = math.min(to, from + keys.budget - 1)
  for number = from, last do release_node(keys, by_name, of.id .. '.w' .. number, doom, now) end
  keys.budget = keys.budget - math.max(0, last - from + 1)
  if last < to then
    local todo = redis.call('HGET', of.key, 'todo') or ''
    redis.call('HSET', of.key, 'todo', todo .. string.format('%d %d %s\n', math.max(from, last + 1), to, doom))
    look_again(keys, of, now)
  end
end
-- Whether enough members of a fan-in are known, and what its followers are told then: "-" or a reason not to run.
local function decided(of, member)
  if of.succeeded >= of.need then return '-' end
  if of.collects == 'F' and of.failed > of.members - of.need then return 'parent:' .. member end
  return of.collects == 'C' and of.succeeded + of.failed == of.members and '-' or nil
end
-- Whom to revoke in a workflow, with one more: a fan-in's number, if that is not being revoked already.
local function with_canceled(cancel, fan_in)
  local said = '\n' .. cancel
  for _, whom in ipairs({ fan_in, fan_in .. '!', 'all', 'all!' }) do
    if said:find('\n' .. whom .. '\n', 1, true) then return cancel end
  end
  return cancel .. fan_in .. '\n'
end
-- A workflow of which nodes are finished in this call: what is read of it is read once, and written once at the end.
local function open_workflow(id, key)
  return { id = id, key = key, joins = {}, done = 0, failed = 0, keep = 0, full = false }
end
-- How many nodes a workflow has; false if it was deleted by hand.
local function nodes_of(of)
  if of.nodes == nil then
    local known = redis.call('HMGET', of.key, 'nodes', 'keep')
    of.nodes, of.known_keep = tonumber(known[1] or '') or false, tonumber(known[2] or 0)
  end
  return of.nodes
end
-- The field in which a workflow keeps what a node left, for those that follow; nil: nobody will read it.
local function field_of(after, number, succeeded)
  local place = after:match('^g(.+)$')
  if place then return 'r' .. place end
  return succeeded and after ~= '-' and 'v' .. number or nil
end
-- A node is finished, and its record kept for so long: keep its result, and let go what it was the last to be waited for.
-- `after`: its mark w.
local function node_ended(keys, by_name, now, of, id, number, after, outcome, result, keep_ms)
  if not nodes_of(of) then return end
  of.keep = math.max(of.keep, keep_ms)
  local succeeded = outcome == 'SUCCESS' or outcome == 'IGNORED'
  local field = field_of(after, number, succeeded)
  of.done = of.done + 1
  if not succeeded then of.failed = of.failed + 1 end
  local fan_in = after:match('^g(%d+)%.')
  if fan_in then
    local join = of.joins[fan_in] or read_fan_in(of.key, fan_in)
    of.joins[fan_in] = join
    -- A member that comes after the decision does not count for those that follow, who may have read the others by now.
    local known = join and (join.phase == 'o' and '' or '-') .. outcome .. ' ' .. id .. '\n' .. result
    if not join or redis.call('HSETNX', of.key, field, known) == 0 then return end
    if succeeded then join.succeeded = join.succeeded + 1 else join.failed = join.failed + 1 end
    local doom = join.phase == 'o' and join.to >= join.from and decided(join, id)
    if doom then
      join.phase = doom == '-' and 'r' or 'f'
      release_nodes(keys, by_name, of, join.from, join.to, doom, now)
    end
    if not succeeded and join.cancels == 'y' then
      join.cancels = 'd'
      redis.call('HSET', of.key, 'cancel', with_canceled(redis.call('HGET', of.key, 'cancel') or '', fan_in))
      look_again(keys, of, now)
    end
    if join.succeeded + join.failed == join.members then of.full = true end
    return
  end
  local from, to = after:match('^(%d+)%-(%d+)$')
  if from then
    if field then redis.call('HSET', of.key, field, result) end
    release_nodes(keys, by_name, of, tonumber(from), tonumber(to), succeeded and '-' or 'parent:' .. id, now)
  end
end
-- Write how far a workflow is. One that is finished expires, after all records of its nodes, which may point into it.
local function close_workflow(keys, of)
  if of.done == 0 then return end
  for number, join in pairs(of.joins) do write_fan_in(of.key, number, join) end
  if of.failed > 0 then
    redis.call('HINCRBY', of.key, 'failed', of.failed)
    of.full = true -- whoever waits for a group may want to know
  end
  local done = redis.call('HINCRBY', of.key, 'done', of.done)
  if done == of.nodes then
    redis.call('PEXPIRE', of.key, int(math.max(of.keep, of.known_keep)))
    redis.call('HDEL', of.key, 'late', 'cancel')
    redis.call('ZREM', keys.unfolding, of.id)
    of.full = true
  elseif of.keep > of.known_keep then
    redis.call('HSET', of.key, 'keep', int(of.keep))
  end
  if of.full then tell(keys.done, of.id) end
end
