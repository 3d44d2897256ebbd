#!lua flags=allow-oom
-- put_bulk: note a bulk operation, or move it to another state.
--
-- KEYS[1] bulks        ZSET     keys.bulks
-- KEYS[2] bulk_notes   HASH     keys.bulk_notes
-- KEYS[3] bulk_leases  ZSET     keys.bulk_leases
-- KEYS[4] control      CHANNEL  keys.control
-- ARGV[1] id: of the operation
-- ARGV[2] state: in which it is to be
-- ARGV[3] was: states in which it may be now, each between spaces; "": it is a new one
-- ARGV[4] active: 1: it is to be taken by a worker
-- ARGV[5] note: JSON: what it is; "": as it is noted
-- ARGV[6] most: operations that are noted; the oldest go, but those that are active
--
-- Returns the state in which it was, "": it was not known. It is moved if that is one of those in which it may be.
-- Budget: one operation; 100 old ones go.
-- Moves:  nothing
-- Role:   producer
-- Safe to repeat: yes. Clock: server.
-- include: clock
local known = redis.call('HGET', keys.bulk_notes, args.id)
local state, times, note = '', int(now), args.note
if known then
  local created, old
  state, created, old = known:match('^(%S+) (%d+) %d+ (.*)$')
  times = created
  if note == '' then note = old end
end
if known and not args.was:find(' ' .. state .. ' ', 1, true) then return state end
if not known and args.was ~= '' then return '' end
redis.call('HSET', keys.bulk_notes, args.id, args.state .. ' ' .. times .. ' ' .. int(now) .. ' ' .. note)
redis.call('ZADD', keys.bulks, 'NX', int(now), args.id)
if args.active == '1' then
  redis.call('ZADD', keys.bulk_leases, 'NX', 0, args.id)
  redis.call('SPUBLISH', keys.control, 'bulk')
else
  redis.call('ZREM', keys.bulk_leases, args.id)
end
local beyond = redis.call('ZCARD', keys.bulks) - tonumber(args.most)
if beyond > 0 then
  for _, id in ipairs(redis.call('ZRANGE', keys.bulks, 0, math.min(beyond, 100) - 1)) do
    -- Those of one millisecond are ordered by their ids: this one is not the oldest.
    if id ~= args.id and not redis.call('ZSCORE', keys.bulk_leases, id) then
      redis.call('ZREM', keys.bulks, id)
      redis.call('HDEL', keys.bulk_notes, id)
    end
  end
end
return state
