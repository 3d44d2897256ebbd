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
-- KEYS[9..] pairs      STREAM, LIST   keys.stream(name), keys.queue_wake(queue); then
--          records     STRING   keys.record(id), one per message; then keys.record(parent) of each after= in order
-- ARGV[1] number of messages
-- ARGV[2] number of streams; then their names "<priority>:<queue>"; then per message 4 values:
--         id, number of its stream from 1, terms (see include/accept.lua; "": none, start now), envelope
--
-- Returns {now ms, code...}: per message 1 accepted, 0 already known (queued, running or finished).
-- Moves:  (nothing) -> ready | (nothing) -> delayed | (nothing) -> blocked
-- Safe to repeat: yes, by id. Clock: server.
-- include: clock, line, streams, delay, accept
local keys = {
  messages = KEYS[1], state = KEYS[2], delayed = KEYS[3], ready = KEYS[4], streams = KEYS[5], wake = KEYS[6],
  control = KEYS[7], links = KEYS[8],
}
local messages, ready, streams, wake = keys.messages, keys.ready, keys.streams, keys.wake
local count, stream_count = tonumber(ARGV[1]), tonumber(ARGV[2])
local by_name = given_streams(9, stream_count, 3)
local first_record, first_member = 9 + 2 * stream_count, 3 + stream_count
local next_parent = first_record + count
local now = now_ms()
local stamp = int(now) .. ' '
local reply = { now }
for at = first_member, #ARGV, 4 do
  if not by_name[ARGV[2 + ARGV[at + 1]]] then
    return redis.error_reply('ERR enqueue: message ' .. ARGV[at] .. ' names no stream of this call')
  end
end
for i = 1, count do
  local at = first_member + (i - 1) * 4
  local id, name, terms, envelope = ARGV[at], ARGV[2 + ARGV[at + 1]], ARGV[at + 2], ARGV[at + 3]
  local stream = by_name[name]
  local of = terms ~= '' and read_terms(terms, now)
  local parent
  if of and of.after then
    parent = KEYS[next_parent]
    next_parent = next_parent + 1
  end
  if redis.call('EXISTS', KEYS[first_record + i - 1]) == 1
    or redis.call('HSETNX', messages, id, stamp .. envelope) == 0 then
    reply[i + 1] = 0
  else
    reply[i + 1] = 1
    if of then
      place(keys, stream, name, id, of, now, parent)
    else
      append(streams, stream, name, id)
      make_ready(ready, wake, stream, name)
    end
  end
end
return reply
