#!lua flags=no-writes
-- bulk_members: how far a bulk operation is on one shard, and what comes next.
--
-- KEYS[1] bulk         HASH     keys.bulk(id)
-- ARGV[1] wanted: 1: also the members of the hundred at which it is
--
-- Returns {members in all, how many are done, applied, skipped, refused, restored, members}: the last are words, separated by spaces: those of the
--         hundred in which the next one is, "": there are none.
-- Budget: 100 members.
-- Moves:  nothing
-- Role:   monitor
-- Safe to repeat: yes. Clock: none.
local counts = redis.call('HMGET', keys.bulk, 'total', 'at', 'applied', 'skipped', 'refused', 'restored')
local reply = {}
for place = 1, 6 do reply[place] = tonumber(counts[place] or 0) end
reply[7] = args.wanted == '1' and redis.call('HGET', keys.bulk, math.floor(reply[2] / 100)) or ''
return reply
