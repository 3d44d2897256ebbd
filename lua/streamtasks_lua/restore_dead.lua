#!lua flags=allow-oom
-- restore_dead: put dead letters back that a bulk operation has discarded, behind those that are there.
--
-- KEYS[1] dead         STREAM   keys.dead
-- KEYS[2] dead_sizes   ZSET     keys.dead_sizes
-- KEYS[3] dead_bytes   STRING   keys.dead_bytes
-- KEYS[4] control      CHANNEL  keys.control
-- KEYS[5] discarded    STREAM   keys.discarded(bulk)
-- ARGV[1] most: how many at most, at most 100
-- ARGV[2] most_bytes: of them; then it puts no more back
-- ARGV[3] dead_kept: dead letters that are kept
-- ARGV[4] dead_bytes_kept: bytes of them
--
-- Returns {how many were put back, 1: there are more}.
-- Budget: 100 dead letters, 512 KiB of them and one more; 5,000 of the oldest go.
-- Moves:  nothing
-- Role:   producer
-- Safe to repeat: yes, each is put back once. Clock: server.
-- include: dead
local room, restored = tonumber(args.most_bytes), 0
for _ = 1, tonumber(args.most) do
  if room <= 0 then break end
  local entry = redis.call('XRANGE', keys.discarded, '-', '+', 'COUNT', 1)[1]
  if not entry then break end
  local size = 0
  for at = 2, #entry[2], 2 do size = size + #entry[2][at] end
  bury(size, unpack(entry[2]))
  redis.call('XDEL', keys.discarded, entry[1])
  room, restored = room - size, restored + 1
end
if restored > 0 then delete_oldest_dead() end
return { restored, redis.call('XLEN', keys.discarded) > 0 and 1 or 0 }
