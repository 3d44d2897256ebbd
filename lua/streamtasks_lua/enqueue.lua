#!lua
-- enqueue: accept up to 100 messages, each once by its id.
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
-- KEYS[16] waits       ZSET     keys.waits
-- KEYS[17..] pairs     STREAM, LIST   keys.stream(name), keys.queue_wake(queue); then
--          records     STRING   keys.record(id), one per message; then keys.record(parent) of each after= in order
-- ARGV[1] count: number of messages
-- ARGV[2] events_kept: how many, 0: none are written
-- ARGV[3] stream_count: number of streams
-- ARGV[4..] names of the streams, "<priority>:<queue>"; then runs of messages, in their order, that go to one stream on the
--         same terms, each with a head of 3 values: how many, number of their stream from 1, terms (see include/terms.lua;
--         "": none, start now); then per message 2 values: id, envelope
--
-- Returns {now ms, code...}: per message 1 accepted, 0 already known (queued, running or finished), 2 accepted, but it was
--         revoked before it came: call revoke, which finishes it at once. Without that, the child that claims it does.
-- Budget: 100 messages, 512 KiB of their bodies and one more.
-- Moves:  (nothing) -> ready | delayed | blocked | waiting for its limit
-- Role:   producer
-- Safe to repeat: yes, by id. Clock: server.
-- include: clock, streams, events, accept
local count = tonumber(args.count)
local first_record, first_member = keys.more + 2 * stream_count, args.more + stream_count
local next_parent = first_record + count
local KEYS, ARGV, reply = KEYS, ARGV, { now }
local last, at, place = #ARGV, first_member, 0
while at <= last do
  if not by_name[ARGV[args.more - 1 + ARGV[at + 1]]] then
    return redis.error_reply('ERR enqueue: message ' .. ARGV[at + 3] .. ' names no stream of this call')
  end
  at = at + 3 + 2 * ARGV[at]
end
at = first_member
while at <= last do
  local name, terms, parent = ARGV[args.more - 1 + ARGV[at + 1]], ARGV[at + 2], nil
  local waits, next_at = terms ~= '' and terms:find('after=', 1, true), at + 3 + 2 * ARGV[at]
  for member = at + 3, next_at - 1, 2 do
    if waits then
      parent = KEYS[next_parent]
      next_parent = next_parent + 1
    end
    reply[place + 2] = accept(KEYS[first_record + place], name, ARGV[member], terms, parent, ARGV[member + 1])
    place = place + 1
  end
  at = next_at
end
write_events()
return reply
