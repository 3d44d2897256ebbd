#!lua
-- stage: write up to 100 nodes of a workflow that nobody sees yet: unfold makes all of it live at once, or throws it away.
--
-- KEYS[1] messages     HASH     keys.messages
-- KEYS[2] state        HASH     keys.state
-- KEYS[3] unfolding    ZSET     keys.unfolding
-- KEYS[4] workflow     HASH     keys.workflow(id)
-- ARGV[1] id: of the workflow
-- ARGV[2] staging_ms: how long it may stay without being live, from the last call on
-- ARGV[3] nodes: how many it has
-- ARGV[4] heads: how many of them, the first ones, wait for nothing
-- ARGV[5] fan_in_count: number of fan-ins that follow here
-- ARGV[6..] per fan-in 9 values: number, members, how many must succeed,
--         "F" (a failure fails what follows) or "C" (failures are collected), "y" (a failure cancels the others) or "n",
--         first and last node that follow it (last before first: none), deadline in ms from when it is live, 0:
--         none, and how many members have succeeded already; then what readers are told of its shape, "" if this is not the first call; then per result that is
--         known already 2 values after their number: field and content; then per node 5 values: number, name of its
--         stream, marks of its state line, zeros (include/heard.lua), envelope
--
-- Returns {now ms, code}: 1 staged, 2 it is live already: nothing was done, 0 it is being thrown away: nothing was done.
-- Budget: 100 nodes, 100 fan-ins, 100 known results, 512 KiB of each and one more.
-- Moves:  (nothing) -> blocked
-- Role:   producer
-- Safe to repeat: yes, by id. Clock: server.
-- include: stamp, line
local id = args.id
local known = redis.call('HMGET', keys.workflow, 'live', 'thrown')
if known[1] then return { now, 2 } end
if known[2] then return { now, 0 } end
local at = args.more
local late = ''
local fields = { 'nodes', args.nodes, 'heads', args.heads }
for _ = 1, tonumber(args.fan_in_count) do
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
  fields[#fields + 1] = (redis.call('HGET', keys.workflow, 'late') or '') .. late
end
at = at + 1
local given = tonumber(ARGV[at])
at = at + 1
for _ = 1, given do
  fields[#fields + 1] = ARGV[at]
  fields[#fields + 1] = ARGV[at + 1]
  at = at + 2
end
redis.call('HSET', keys.workflow, unpack(fields))
redis.call('PERSIST', keys.workflow) -- if it was revoked before it came, that was to expire
local bodies, lines = {}, {}
while at <= #ARGV do
  local task_id, n = id .. '.w' .. ARGV[at], #bodies
  bodies[n + 1], bodies[n + 2] = task_id, ARGV[at + 3] .. STAMP .. ARGV[at + 4]
  local s = new_line(ARGV[at + 1], 'B')
  s.marks = ARGV[at + 2]
  lines[n + 1], lines[n + 2] = task_id, format(s)
  at = at + 5
end
if #bodies > 0 then
  redis.call('HSET', keys.state, unpack(lines))
  local fresh = redis.call('HSET', keys.messages, unpack(bodies))
  redis.call('HINCRBY', keys.workflow, 'staged', fresh)
end
redis.call('ZADD', keys.unfolding, int(now + args.staging_ms), id)
return { now, 1 }
