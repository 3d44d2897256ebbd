#!lua
-- replay_dead: enqueue the calls of up to 100 dead letters again, each as a new message, and delete the letters.
--
-- KEYS[1] messages     HASH     keys.messages
-- KEYS[2] state        HASH     keys.state
-- KEYS[3] delayed      ZSET     keys.delayed
-- KEYS[4] ready        ZSET     keys.ready
-- KEYS[5] streams      ZSET     keys.streams
-- KEYS[6] wake         LIST     keys.wake
-- KEYS[7] control      CHANNEL  keys.control
-- KEYS[8] links        HASH     keys.links
-- KEYS[9] events       STREAM   keys.events
-- KEYS[10] watchers    STRING   keys.watchers
-- KEYS[11] waiting     ZSET     keys.waiting
-- KEYS[12] limits      HASH     keys.limits
-- KEYS[13] asking      ZSET     keys.asking
-- KEYS[14] paused      ZSET     keys.paused
-- KEYS[15] paused_ready ZSET    keys.paused_ready
-- KEYS[16] dead        STREAM   keys.dead
-- KEYS[17] dead_sizes  ZSET     keys.dead_sizes
-- KEYS[18] dead_bytes  STRING   keys.dead_bytes
-- KEYS[19] waits       ZSET     keys.waits
-- KEYS[20..] pairs     STREAM, LIST   keys.stream(name), keys.queue_wake(queue); then
--          records     STRING   keys.record(id), one per message
-- ARGV[1] count: number of messages
-- ARGV[2] events_kept: how many, 0: none are written
-- ARGV[3] stream_count: number of streams
-- ARGV[4..] names of the streams, "<priority>:<queue>"; then per letter 5 values: its entry id, the id of the new message,
--         number of its stream from 1, terms (see include/terms.lua; "": none, start now), envelope
--
-- Returns {now ms, code...}: per letter 1 enqueued; 2 enqueued, but the new message was revoked before it came: call revoke;
--         3 done by an earlier call: the letter is gone, and the new message is known; 0 the letter is gone, and somebody
--         else has replayed or discarded it: nothing was done.
-- Budget: 100 messages, 512 KiB of their bodies and one more.
-- Moves:  (a dead letter) -> ready | delayed | waiting for its limit
-- Role:   producer
-- Safe to repeat: yes, by the letter and the new id. Clock: server.
-- include: clock, streams, events, accept, letters
local count = tonumber(args.count)
local first_record, first_member = keys.more + 2 * stream_count, args.more + stream_count
local KEYS, ARGV, reply = KEYS, ARGV, { now }
for at = first_member, #ARGV, 5 do
  if not by_name[ARGV[args.more - 1 + ARGV[at + 2]]] then
    return redis.error_reply('ERR replay_dead: message ' .. ARGV[at + 1] .. ' names no stream of this call')
  end
end
for i = 1, count do
  local at, record, code = first_member + (i - 1) * 5, KEYS[first_record + i - 1], 3
  local id = ARGV[at + 1]
  if delete_letter(ARGV[at]) == 1 then
    code = accept(record, ARGV[args.more - 1 + ARGV[at + 2]], id, ARGV[at + 3], nil, ARGV[at + 4])
    if code == 0 then code = 3 end
  elseif redis.call('HEXISTS', keys.messages, id) == 0 and redis.call('EXISTS', record) == 0 then
    code = 0
  end
  reply[i + 1] = code
end
forget_deleted()
write_events()
return reply
