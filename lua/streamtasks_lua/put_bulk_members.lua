#!lua
-- put_bulk_members: note what a bulk operation is about, up to 100 of one shard a call.
--
-- KEYS[1] bulk         HASH     keys.bulk(id)
-- ARGV[1] number: of these among those of this shard, from 0; -1: forget those that are noted
-- ARGV[2] members: words, separated by spaces
-- ARGV[3] count: of members
-- ARGV[4] keep_ms: for how long it is remembered
--
-- Returns {1 noted, 0 they were noted before}.
-- Budget: 100 members.
-- Moves:  nothing
-- Role:   producer
-- Safe to repeat: yes. Clock: none.
if args.number == '-1' then
  redis.call('DEL', keys.bulk)
  return { 1 }
end
local is_new = redis.call('HSETNX', keys.bulk, args.number, args.members)
if is_new == 1 then redis.call('HINCRBY', keys.bulk, 'total', args.count) end
redis.call('PEXPIRE', keys.bulk, args.keep_ms)
return { is_new }
