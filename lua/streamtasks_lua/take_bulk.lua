#!lua flags=allow-oom
-- take_bulk: let one worker go on with a bulk operation for a while, or for another while.
--
-- KEYS[1] bulk_leases  ZSET     keys.bulk_leases
-- KEYS[2] bulk_notes   HASH     keys.bulk_notes
-- ARGV[1] id: the one that the caller has; "": any that nobody has
-- ARGV[2] held_until: what the call has returned by which the caller got it
-- ARGV[3] lease_ms: for how long it is the caller's
--
-- Returns {id, until when it is the caller's, ms, its note}, see bulks; or {"", ms until somebody's is over, -1: there is none,
--         ""}: the caller has none, or has lost it.
-- Budget: 100 operations.
-- Moves:  nothing
-- Role:   producer
-- Safe to repeat: no, but nothing is lost: another while begins later. Clock: server.
-- include: clock
local lease, until_ms = tonumber(args.lease_ms), now + tonumber(args.lease_ms)
-- take(id): let the caller have it.
local function take(id)
  redis.call('ZADD', keys.bulk_leases, int(until_ms), id)
  return { id, int(until_ms), redis.call('HGET', keys.bulk_notes, id) or '' }
end
if args.id ~= '' then
  local held = redis.call('ZSCORE', keys.bulk_leases, args.id)
  return held and tonumber(held) == tonumber(args.held_until) and take(args.id) or { '', '0', '' }
end
local next_ms = -1
local held = redis.call('ZRANGE', keys.bulk_leases, 0, 99, 'WITHSCORES')
for at = 1, #held, 2 do
  local left = tonumber(held[at + 1]) - now
  -- One that lies further ahead than a lease is of a time before the clock went back.
  if left <= 0 or left > lease then return take(held[at]) end
  next_ms = (next_ms < 0 or left < next_ms) and left or next_ms
end
return { '', int(next_ms), '' }
