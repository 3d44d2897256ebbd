#!lua flags=allow-oom
-- discard_dead: delete dead letters; those of a bulk operation are kept beside for a while.
--
-- KEYS[1] dead         STREAM   keys.dead
-- KEYS[2] dead_sizes   ZSET     keys.dead_sizes
-- KEYS[3] dead_bytes   STRING   keys.dead_bytes
-- KEYS[4] discarded    STREAM   keys.discarded(bulk)
-- ARGV[1] keep_ms: how long they are kept there; 0: not at all
-- ARGV[2] most_bytes: of those that are kept by one call
-- ARGV[3..] per dead letter 2 values: entry id; id of its message, "" if it is bytes that are none. At most 100.
--
-- Returns {1 deleted, 0 there is none, ...}, one per entry; of those that are to be kept as many as fit, at least one: call
--         again with the others.
-- Budget: 100 dead letters, whatever their size; of those that are kept 512 KiB and one more.
-- Moves:  nothing
-- Role:   producer
-- Safe to repeat: yes. Clock: none.
-- include: letters
local reply, room = {}, tonumber(args.most_bytes)
-- keep(entry): put a letter beside, with the time at which it died.
local function keep(entry)
  local found = redis.call('XRANGE', keys.dead, entry, entry)[1]
  if not found then return end
  local fields, died = found[2], nil
  for at = 1, #fields, 2 do
    if fields[at] == 'died' then died = fields[at + 1] end
    room = room - #fields[at + 1]
  end
  if not died then
    fields[#fields + 1] = 'died'
    fields[#fields + 1] = entry:match('^%d+')
  end
  redis.call('XADD', keys.discarded, '*', unpack(fields))
end
for at = args.more, #ARGV, 2 do
  if room <= 0 then break end
  local entry, deleted = ARGV[at], 0
  -- An entry of another shard may have the same id; where messages are, their ids tell.
  local garbage = ARGV[at + 1] == '' and redis.call('XRANGE', keys.dead, entry, entry)[1]
  if ARGV[at + 1] ~= '' or (garbage and garbage[2][2] == 'undecodable') then
    if args.keep_ms ~= '0' then keep(entry) end
    deleted = delete_letter(entry)
  end
  reply[#reply + 1] = deleted
end
forget_deleted()
if args.keep_ms ~= '0' then redis.call('PEXPIRE', keys.discarded, args.keep_ms) end
return reply
