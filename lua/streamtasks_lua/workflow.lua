#!lua flags=no-writes
-- workflow: what is known of a workflow as a whole.
--
-- KEYS[1] workflow     HASH     keys.workflow(id)
-- ARGV[1..] numbers of the fan-ins of which the counts are wanted
--
-- Returns {} if nothing is known of it, or it is not live; else {nodes, finished nodes, failed nodes, when it became live
--         in ms, shape, and per fan-in "<members> <needed> <F or C> <y, n or d: was done> <first> <last> <succeeded> <failed>
--         <o: open, r: what follows was let go, f: it must fail>"}.
-- Budget: one workflow, and one count for each fan-in that is named.
-- Moves:  nothing
-- Role:   monitor
-- Safe to repeat: yes. Clock: none.
local known = redis.call('HMGET', keys.workflow, 'nodes', 'done', 'failed', 'live', 'plan')
if not known[4] then return {} end
local reply = { known[1], known[2] or '0', known[3] or '0', known[4], known[5] or '' }
for _, number in ipairs(ARGV) do reply[#reply + 1] = redis.call('HGET', keys.workflow, 'g' .. number) or '' end
return reply
