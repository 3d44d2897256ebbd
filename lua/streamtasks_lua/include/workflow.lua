-- workflow: a node of a workflow is finished; what it was the last to be waited for is let go.
--
-- A node's id is "<workflow>.w<number>". Its state line says what comes after it, in mark w: "<from>-<to>", the nodes that
-- follow it alone; "g<fan-in>.<place>", it is one of those that a fan-in waits for; or "-". The HASH of a workflow tells
-- the rest, see README.md ("Workflows"). Numbers rise from what comes first to what follows.
-- Keys: state, delayed, control, waiting, limits, asking, ready, streams, wake, paused, paused_ready, waits, unfolding, events,
-- watchers.
-- include: clock, events, place
local FAN_IN = '^(%d+) (%d+) (%u) (%l) (%-?%d+) (%-?%d+) (%d+) (%d+) (%l)$'
-- How many nodes one call lets go; what is more stands in the field todo, and goes on with unfold.
local MOST_RELEASED = 100
local to_release = MOST_RELEASED
-- read_fan_in(key, number): a fan-in of the workflow with that key, nil if there is none.
local function read_fan_in(key, number)
  local text = redis.call('HGET', key, 'g' .. number) or ''
  local members, need, collects, cancels, from, to, succeeded, failed, phase = text:match(FAN_IN)
  if not members then return nil end
  return {
    members = tonumber(members), need = tonumber(need), collects = collects, cancels = cancels,
    from = tonumber(from), to = tonumber(to), succeeded = tonumber(succeeded), failed = tonumber(failed), phase = phase,
  }
end
-- write_fan_in(key, number, of): store it.
local function write_fan_in(key, number, of)
  redis.call('HSET', key, 'g' .. number, string.format('%d %d %s %s %d %d %d %d %s', of.members, of.need,
    of.collects, of.cancels, of.from, of.to, of.succeeded, of.failed, of.phase))
end
-- release_node(id, reason): let one node go. `reason`: why it must not run, "-" if it may.
local function release_node(id, reason)
  local line = redis.call('HGET', keys.state, id)
  local s = line and parse(line)
  if not s or s.phase ~= 'B' then return end
  local due = math.max(tonumber(mark_of(s, 'd') or 0), now + tonumber(mark_of(s, 'i') or 0))
  mark(s, 'a', nil)
  mark(s, 'd', nil)
  mark(s, 'i', nil)
  if reason ~= '-' then
    mark(s, 'x', reason)
    due = 0
  end
  note('accepted', id, s.name)
  place(s, id, due, 'new')
end
-- look_again(id, at): a keeper looks at a workflow at that time, ms, because something is left to do.
local function look_again(id, at)
  redis.call('ZADD', keys.unfolding, 'LT', int(at), id)
  redis.call('SPUBLISH', keys.control, 'unfold')
end
-- release_nodes(flow, from, to, reason): let the nodes of a range go; those beyond what one call may are left to unfold.
local function release_nodes(flow, from, to, reason)
  local last = math.min(to, from + to_release - 1)
  for number = from, last do release_node(flow.id .. '.w' .. number, reason) end
  to_release = to_release - math.max(0, last - from + 1)
  if last < to then
    local todo = redis.call('HGET', flow.key, 'todo') or ''
    redis.call('HSET', flow.key, 'todo', todo .. string.format('%d %d %s\n', math.max(from, last + 1), to, reason))
    look_again(flow.id, now)
  end
end
-- decided(of, member): whether enough members of a fan-in are known: then "-", or why its followers must not run.
local function decided(of, member)
  if of.succeeded >= of.need then return '-' end
  if of.collects == 'F' and of.failed > of.members - of.need then return 'parent:' .. member end
  return of.collects == 'C' and of.succeeded + of.failed == of.members and '-' or nil
end
-- with_canceled(cancel, fan_in): the field cancel with one more fan-in, unless that is being revoked already.
local function with_canceled(cancel, fan_in)
  local lines = '\n' .. cancel
  for _, whom in ipairs({ fan_in, fan_in .. '!', 'all', 'all!' }) do
    if lines:find('\n' .. whom .. '\n', 1, true) then return cancel end
  end
  return cancel .. fan_in .. '\n'
end
