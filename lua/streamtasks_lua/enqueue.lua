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
-- KEYS[8..] pairs      STREAM, LIST   keys.stream(name), keys.queue_wake(queue); then
--          records     STRING   keys.record(id), one per message
-- ARGV[1] number of streams; then their names "<priority>:<queue>"; then per message 4 values:
--         id, number of its stream from 1, due ("" now, "<ms>" absolute UTC, "+<ms>" from now), envelope
--
-- Returns {now ms, code...}: per message 1 accepted, 0 already known (queued, running or finished).
-- Moves:  (nothing) -> ready | (nothing) -> delayed
-- Safe to repeat: yes, by id. Clock: server.
-- include: clock, streams, delay
local messages, state, delayed, ready, streams, wake, control =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local stream_count = tonumber(ARGV[1])
local by_name = given_streams(8, stream_count, 2)
local first_record, first_member = 8 + 2 * stream_count, 2 + stream_count
local now = now_ms()
local stamp = int(now) .. ' '
local reply = { now }
for at = first_member, #ARGV, 4 do
  if not by_name[ARGV[1 + ARGV[at + 1]]] then
    return redis.error_reply('ERR enqueue: message ' .. ARGV[at] .. ' names no stream of this call')
  end
end
for i = 1, #KEYS - first_record + 1 do
  local at = first_member + (i - 1) * 4
  local id, name, due, envelope = ARGV[at], ARGV[1 + ARGV[at + 1]], ARGV[at + 2], ARGV[at + 3]
  local stream = by_name[name]
  if redis.call('EXISTS', KEYS[first_record + i - 1]) == 1
    or redis.call('HSETNX', messages, id, stamp .. envelope) == 0 then
    reply[i + 1] = 0
  else
    reply[i + 1] = 1
    local due_ms = 0
    if due ~= '' then
      due_ms = due:sub(1, 1) == '+' and now + tonumber(due:sub(2)) or tonumber(due)
    end
    if due_ms > now then
      redis.call('HSET', state, id, '- D ' .. name .. ' - 0 0 0 0 0 -')
      park(delayed, control, id, due_ms)
    else
      append(streams, stream, name, id)
      make_ready(ready, wake, stream, name)
    end
  end
end
return reply
