#!lua flags=no-writes
-- bulks: look at bulk operations, the newest first.
--
-- KEYS[1] bulks        ZSET     keys.bulks
-- KEYS[2] bulk_notes   HASH     keys.bulk_notes
-- ARGV[1] id: of one operation; "": the newest ones
-- ARGV[2] most: how many at most, at most 100
--
-- Returns {id, "<state> <since when it is noted, ms> <since when it is in that state, ms> <note, JSON>", ...}
-- Budget: 100 operations.
-- Moves:  nothing
-- Role:   monitor
-- Safe to repeat: yes. Clock: none.
local ids = args.id ~= '' and { args.id } or redis.call('ZREVRANGE', keys.bulks, 0, tonumber(args.most) - 1)
local reply = {}
for _, id in ipairs(ids) do
  local note = redis.call('HGET', keys.bulk_notes, id)
  if note then
    reply[#reply + 1] = id
    reply[#reply + 1] = note
  end
end
return reply
