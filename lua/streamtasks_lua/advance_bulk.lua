#!lua flags=allow-oom
-- advance_bulk: note that a bulk operation has done some of its members, and what came of them.
--
-- KEYS[1] bulk         HASH     keys.bulk(id)
-- ARGV[1] at: how many of this shard were done before
-- ARGV[2] count: how many are done now; they are in one hundred
-- ARGV[3] applied: of these
-- ARGV[4] skipped: nothing was to be done any more
-- ARGV[5] refused: it could not be done
-- ARGV[6] restored: letters that were put back, of an operation that is undone
--
-- Returns {1 noted, 0 somebody else has noted it, or the operation is forgotten}.
-- Budget: one operation.
-- Moves:  nothing
-- Role:   producer
-- Safe to repeat: yes, by at; with restored alone, no. Clock: none.
if redis.call('EXISTS', keys.bulk) == 0 then return { 0 } end
if args.restored ~= '0' then redis.call('HINCRBY', keys.bulk, 'restored', args.restored) end
local at = tonumber(redis.call('HGET', keys.bulk, 'at') or 0)
local count = tonumber(args.count)
if count == 0 or at ~= tonumber(args.at) then return { 0 } end
redis.call('HSET', keys.bulk, 'at', string.format('%d', at + count))
redis.call('HINCRBY', keys.bulk, 'applied', args.applied)
redis.call('HINCRBY', keys.bulk, 'skipped', args.skipped)
redis.call('HINCRBY', keys.bulk, 'refused', args.refused)
local hundred = math.floor(at / 100)
if math.floor((at + count) / 100) > hundred or at + count == tonumber(redis.call('HGET', keys.bulk, 'total')) then
  redis.call('HDEL', keys.bulk, hundred)
end
return { 1 }
