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
-- KEYS[9] totals       HASH     keys.totals
-- KEYS[10] done        CHANNEL  keys.done; one of sixteen by the id: ":" and a hexadecimal digit follow
-- KEYS[11] events      STREAM   keys.events
-- KEYS[12] waiting     ZSET     keys.waiting
-- KEYS[13] limits      HASH     keys.limits
-- KEYS[14] asking      ZSET     keys.asking
-- KEYS[15..] pairs     STREAM, LIST   keys.stream(name), keys.queue_wake(queue); then
--          records     STRING   keys.record(id), one per message; then keys.record(parent) of each after= in order
-- ARGV[1] number of messages
-- ARGV[2] events kept, 0: none are written
-- ARGV[3] number of streams; then their names "<priority>:<queue>"; then per message 4 values:
--         id, number of its stream from 1, terms (see include/accept.lua; "": none, start now), envelope
--
-- Returns {now ms, code...}: per message 1 accepted, 0 already known (queued, running or finished).
-- Moves:  (nothing) -> ready | delayed | blocked | waiting for its limit | finished (REVOKED, if it was revoked before it came)
-- Safe to repeat: yes, by id. Clock: server.
-- include: clock, line, streams, delay, tell, callback, rate, limit, accept
local keys = {
  messages = KEYS[1], state = KEYS[2], delayed = KEYS[3], ready = KEYS[4], streams = KEYS[5], wake = KEYS[6],
  control = KEYS[7], links = KEYS[8], totals = KEYS[9], done = KEYS[10], waiting = KEYS[12],
  limits = KEYS[13], asking = KEYS[14],
}
local events, count, events_cap, stream_count = KEYS[11], tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local by_name = given_streams(15, stream_count, 4)
local first_record, first_member = 15 + 2 * stream_count, 4 + stream_count
local next_parent = first_record + count
local now = now_ms()
local stamp = int(now) .. ' '
local reply, news = { now }, {}
for at = first_member, #ARGV, 4 do
  if not by_name[ARGV[3 + ARGV[at + 1]]] then
    return redis.error_reply('ERR enqueue: message ' .. ARGV[at] .. ' names no stream of this call')
  end
end
for i = 1, count do
  local at = first_member + (i - 1) * 4
  local id, name, terms = ARGV[at], ARGV[3 + ARGV[at + 1]], ARGV[at + 2]
  local of = terms ~= '' and read_terms(terms, now)
  local parent
  if of and of.after then
    parent = KEYS[next_parent]
    next_parent = next_parent + 1
  end
  local code = accept(keys, KEYS[first_record + i - 1], by_name[name], name, id, of, parent, stamp, ARGV[at + 3], now)
  reply[i + 1] = code
  if code == 1 and events_cap ~= '0' then
    news[#news + 1] = id
    news[#news + 1] = name
  end
end
if #news > 0 then
  redis.call('XADD', events, 'MAXLEN', '~', events_cap, '*', 'kind', 'accepted', unpack(news))
end
return reply
