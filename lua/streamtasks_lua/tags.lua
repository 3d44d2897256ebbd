#!lua flags=allow-oom
-- tags: note the shards of a prefix when it is used first, and those that are added later; say which they are.
--
-- KEYS[1] tags         LIST     keys.tags, of the shard `tags`, which holds nothing else
-- KEYS[2] first_tags   STRING   keys.first_tags, beside it
-- KEYS[3] control      CHANNEL  keys.control, beside it: workers that run hear of new ones
-- ARGV[1] grows: 1: more tags than were noted are added; 0: they are only noted if none were
-- ARGV[2..] the tags that the caller is configured with: noted if those that are noted are the first of them
--
-- Returns {how many were noted first, tag...}: all that are noted now, in their order.
-- Budget: one list of at most 4,000 tags.
-- Moves:  nothing
-- Role:   producer
-- Safe to repeat: yes. Clock: none.
local noted = redis.call('LRANGE', keys.tags, 0, -1)
local given = { unpack(ARGV, args.more) }
local grows = #given > #noted and (#noted == 0 or args.grows == '1')
for place, tag in ipairs(noted) do grows = grows and given[place] == tag end
if #noted == 0 then redis.call('SET', keys.first_tags, #given) end
if grows then
  redis.call('RPUSH', keys.tags, unpack(given, #noted + 1))
  if #noted > 0 then redis.call('SPUBLISH', keys.control, 'shards') end
  noted = given
end
return { tonumber(redis.call('GET', keys.first_tags)), unpack(noted) }
