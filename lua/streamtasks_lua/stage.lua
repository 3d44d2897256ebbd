#!lua
-- stage: write up to 100 nodes of a workflow that nobody sees yet: unfold makes all of it live at once, or throws it away.
--
-- KEYS[1] workflow     HASH     keys.workflow(id)
-- KEYS[2] messages     HASH     keys.messages
-- KEYS[3] state        HASH     keys.state
-- KEYS[4] unfolding    ZSET     keys.unfolding
-- ARGV[1] id of the workflow
-- ARGV[2] how long it may stay without being live, ms from the last call on
-- ARGV[3] number of its nodes, and ARGV[4] how many of them, the first ones, wait for nothing
-- ARGV[5] number of fan-ins that follow here; then per fan-in 9 values: number, members, how many must succeed,
--         "F" (a failure fails what follows) or "C" (failures are collected), "y" (a failure cancels the others) or "n",
--         first and last node that follow it (last before first: none), deadline in ms from when it is live, 0:
--         none, and how many members have succeeded already
-- ARGV[6..] those, then what readers are told of its shape, "" if this is not the first call; then per result that is
--         known already 2 values after their number: field and content; then per node 4 values: number, name of its
--         stream, marks of its state line, envelope
--
-- Returns {now ms, code}: 1 staged, 2 it is live already: nothing was done, 0 it is being thrown away: nothing was done.
-- Moves:  (nothing) -> blocked
-- Safe to repeat: yes, by id. Clock: server.
-- include: clock, line
local workflow, messages, state, unfolding = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, staging_ms, fan_in_count = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[5])
local now = now_ms()
local known = redis.call('HMGET', workflow, 'live', 'thrown')
if known[1] then return { now, 2 } end
if known[2] then return { now, 0 } end
local at = 6
local late = ''
local fields = { 'nodes', ARGV[3], 'heads', ARGV[4] }
for _ = 1, fan_in_count do
  fields[#fields + 1] = 'g' .. ARGV[at]
  fields[#fields + 1] = string.format('%d %d %s %s %d %d %d 0 o', tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]),
    ARGV[at + 3], ARGV[at + 4], tonumber(ARGV[at + 5]), tonumber(ARGV[at + 6]), tonumber(ARGV[at + 8]))
  if ARGV[at + 7] ~= '0' then late = late .. ARGV[at] .. ' ' .. ARGV[at + 7] .. '\n' end
  at = at + 9
end
if ARGV[at] ~= '' then
  fields[#fields + 1] = 'plan'
  fields[#fields + 1] = ARGV[at]
end
if late ~= '' then
  fields[#fields + 1] = 'late'
  fields[#fields + 1] = (redis.call('HGET', workflow, 'late') or '') .. late
end
at = at + 1
local given = tonumber(ARGV[at])
at = at + 1
for _ = 1, given do
  fields[#fields + 1] = ARGV[at]
  fields[#fields + 1] = ARGV[at + 1]
  at = at + 2
end
redis.call('HSET', workflow, unpack(fields))
local bodies, lines = {}, {}
local stamp = int(now) .. ' '
while at <= #ARGV do
  local task_id, n = id .. '.w' .. ARGV[at], #bodies
  bodies[n + 1], bodies[n + 2] = task_id, stamp .. ARGV[at + 3]
  lines[n + 1], lines[n + 2] = task_id, format({
    token = '-', phase = 'B', name = ARGV[at + 1], entry = '-', attempts = 0, crashes = 0, lost = 0, first = 0,
    started = 0, settled = '-', marks = ARGV[at + 2],
  })
  at = at + 4
end
if #bodies > 0 then
  redis.call('HSET', state, unpack(lines))
  local fresh = redis.call('HSET', messages, unpack(bodies))
  redis.call('HINCRBY', workflow, 'staged', fresh)
end
redis.call('ZADD', unfolding, int(now + staging_ms), id)
return { now, 1 }
