-- nodes: nodes of workflows finish; each workflow is read once in a call, and written once.
--
-- workflow_keys: see include/finish.lua.
-- Keys: state, delayed, control, waiting, limits, asking, ready, streams, wake, paused, paused_ready, waits, unfolding, done, events,
-- watchers.
-- include: channel, workflow
-- Results from this size on, bytes, are kept in the workflow only; a shorter one is no longer than what says where it is.
local KEPT_ONCE = 64
local flows, nodes = {}, {}
-- flow_of(id): a workflow that the call brought, as a table; nil if it did not, or it was deleted by hand.
local function flow_of(id)
  local flow = flows[id]
  if flow == nil and workflow_keys[id] then
    local known = redis.call('HMGET', workflow_keys[id], 'nodes', 'keep')
    flow = known[1] and {
      id = id, key = workflow_keys[id], nodes = tonumber(known[1]), known_keep = tonumber(known[2] or 0),
      joins = {}, done = 0, failed = 0, keep = 0, full = false,
    } or false
    flows[id] = flow
  end
  return flow or nil
end
-- field_of(after, number, succeeded): the field in which a workflow keeps a node's result for those that follow; nil: none
-- will read it. `after`: its mark w.
local function field_of(after, number, succeeded)
  local place = after:match('^g(.+)$')
  if place then return 'r' .. place end
  return succeeded and after ~= '-' and 'v' .. number or nil
end
-- note_node(line, id, of, rest): a node is finished. `line`: its state line; `of`: its ending; `rest`: its record without
-- the first two words, which is returned; a large result that the workflow keeps is replaced by the name of its field.
local function note_node(line, id, of, rest)
  local after = line:match(' w=(%S+)')
  local workflow, number = id:match('^(.+)%.w(%d+)$')
  local flow = after and workflow and flow_of(workflow)
  if not flow then return rest end
  local head, size, body_at = rest:match('^([^\n]* )(%d+)\n()')
  size = tonumber(size)
  local result = size > 0 and rest:sub(-size) or ''
  nodes[#nodes + 1] = { flow, id, number, after, of, result }
  local field = size >= KEPT_ONCE and field_of(after, number, of.succeeded)
  return field and head .. field .. '\n' .. rest:sub(body_at, -1 - size) or rest
end
-- end_member(flow, id, fan_in, field, of, result): it counts once, by its field.
local function end_member(flow, id, fan_in, field, of, result)
  local join = flow.joins[fan_in] or read_fan_in(flow.key, fan_in)
  flow.joins[fan_in] = join
  -- A member that comes after the decision does not count for those that follow, who may have read the others by now.
  local known = join and (join.phase == 'o' and '' or '-') .. of.outcome .. ' ' .. id .. '\n' .. result
  if not join or redis.call('HSETNX', flow.key, field, known) == 0 then return end
  if of.succeeded then join.succeeded = join.succeeded + 1 else join.failed = join.failed + 1 end
  local reason = join.phase == 'o' and join.to >= join.from and decided(join, id)
  if reason then
    join.phase = reason == '-' and 'r' or 'f'
    release_nodes(flow, join.from, join.to, reason)
  end
  if not of.succeeded and join.cancels == 'y' then
    join.cancels = 'd'
    redis.call('HSET', flow.key, 'cancel', with_canceled(redis.call('HGET', flow.key, 'cancel') or '', fan_in))
    look_again(flow.id, now)
  end
  if join.succeeded + join.failed == join.members then flow.full = true end
end
-- end_node(flow, id, number, after, of, result): keep its result, and let go what it was the last to be waited for.
local function end_node(flow, id, number, after, of, result)
  flow.keep = math.max(flow.keep, of.keep_until - now)
  flow.done = flow.done + 1
  if not of.succeeded then flow.failed = flow.failed + 1 end
  local field, fan_in = field_of(after, number, of.succeeded), after:match('^g(%d+)%.')
  if fan_in then
    end_member(flow, id, fan_in, field, of, result)
  elseif after ~= '-' then
    local from, to = after:match('^(%d+)%-(%d+)$')
    if field then redis.call('HSET', flow.key, field, result) end
    release_nodes(flow, tonumber(from), tonumber(to), of.succeeded and '-' or 'parent:' .. id)
  end
end
-- close_flow(flow): write how far it is. One that is finished expires, after all records of its nodes, which may point
-- into it.
local function close_flow(flow)
  if flow.done == 0 then return end
  for number, join in pairs(flow.joins) do write_fan_in(flow.key, number, join) end
  if flow.failed > 0 then
    redis.call('HINCRBY', flow.key, 'failed', flow.failed)
    flow.full = true -- a reader that waits for a group may want to know
  end
  if redis.call('HINCRBY', flow.key, 'done', flow.done) == flow.nodes then
    redis.call('PEXPIRE', flow.key, int(math.max(flow.keep, flow.known_keep)))
    redis.call('HDEL', flow.key, 'late', 'cancel')
    redis.call('ZREM', keys.unfolding, flow.id)
    flow.full = true
  elseif flow.keep > flow.known_keep then
    redis.call('HSET', flow.key, 'keep', int(flow.keep))
  end
  if flow.full then publish(keys.done, flow.id) end
end
-- end_nodes(): do all that was noted.
local function end_nodes()
  for _, node in ipairs(nodes) do end_node(unpack(node)) end
  for _, flow in pairs(flows) do
    if flow then close_flow(flow) end
  end
end
