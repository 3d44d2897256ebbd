#!lua
-- fire: accept the messages that due schedules bring, and move these on to their next occurrences.
--
-- KEYS[1] schedules    HASH     keys.schedules
-- KEYS[2] states       HASH     keys.schedule_states
-- KEYS[3] scheduled    ZSET     keys.scheduled
-- KEYS[4] messages     HASH     keys.messages
-- KEYS[5] state        HASH     keys.state
-- KEYS[6] delayed      ZSET     keys.delayed
-- KEYS[7] ready        ZSET     keys.ready
-- KEYS[8] streams      ZSET     keys.streams
-- KEYS[9] wake         LIST     keys.wake
-- KEYS[10] control     CHANNEL  keys.control
-- KEYS[11] links       HASH     keys.links
-- KEYS[12] events      STREAM   keys.events
-- KEYS[13] watchers    STRING   keys.watchers
-- KEYS[14] waiting     ZSET     keys.waiting
-- KEYS[15] limits      HASH     keys.limits
-- KEYS[16] asking      ZSET     keys.asking
-- KEYS[17] paused      ZSET     keys.paused
-- KEYS[18] paused_ready ZSET    keys.paused_ready
-- KEYS[19] waits       ZSET     keys.waits
-- KEYS[20..] pairs     STREAM, LIST   keys.stream(name), keys.queue_wake(queue); then
--          records     STRING   keys.record(id), one per message
-- ARGV[1] events_kept: how many, 0: none are written
-- ARGV[2] stream_count: number of streams
-- ARGV[3..] their names "<priority>:<queue>"; then per firing 7 values and its messages:
--         name, revision, occurrence that is due in ms, next occurrence in ms or "-", occurrences that bring nothing,
--         that of the last message in ms, number of messages (over all firings at most 100); and per message 4 values:
--         id, number of its stream from 1, terms without after= (see include/terms.lua), envelope
--
-- Returns {now ms, code...}: per firing 1 done, 0 nothing was done: the schedule is not what the caller saw (somebody
--         else has fired it, or it was changed, paused or dropped), or is not due by this clock.
--         A firing without messages may also bring an occurrence that is not due forward: the clock went back since it was
--         stored, so it lies too far ahead.
-- Budget: 100 messages, 512 KiB of their bodies and one more.
-- Moves:  (nothing) -> ready | delayed | waiting for its limit. One that was revoked before it came is ready with mark x.
-- Role:   worker
-- Safe to repeat: yes: the occurrence has passed by then. Clock: server.
-- include: clock, streams, events, accept, schedule
local firings, record, at = {}, keys.more + 2 * stream_count, args.more + stream_count
while at <= #ARGV do
  local count = tonumber(ARGV[at + 6])
  if not count or not tonumber(ARGV[at + 2]) or not KEYS[record + count - 1] then
    return redis.error_reply('ERR fire: the firing of ' .. ARGV[at] .. ' is not whole')
  end
  for member = at + 7, at + 3 + 4 * count, 4 do
    if not by_name[ARGV[args.more - 1 + (tonumber(ARGV[member + 1]) or 0)]] or not ARGV[member + 3] then
      return redis.error_reply('ERR fire: message ' .. ARGV[member] .. ' names no stream of this call')
    elseif ARGV[member + 2]:find('after=', 1, true) then
      return redis.error_reply('ERR fire: message ' .. ARGV[member] .. ' waits for another task')
    end
  end
  firings[#firings + 1] = { at = at, record = record, count = count }
  at, record = at + 7 + 4 * count, record + count
end
local reply = { now }
for number, firing in ipairs(firings) do
  local from = firing.at
  local name, due, next_ms = ARGV[from], tonumber(ARGV[from + 2]), tonumber(ARGV[from + 3])
  local text = redis.call('HGET', keys.schedules, name)
  local st = read_schedule_state(name)
  local same = text and text:match('^%d+') == ARGV[from + 1] and not st.paused and st.next_ms == due
    and (due <= now or (firing.count == 0 and next_ms and next_ms < due))
  reply[number + 1] = same and 1 or 0
  if same then
    for place = 1, firing.count do
      local member = from + 3 + 4 * place
      local id, stream, terms = ARGV[member], ARGV[args.more - 1 + ARGV[member + 1]], ARGV[member + 2]
      if accept(KEYS[firing.record + place - 1], stream, id, terms, nil, ARGV[member + 3]) > 0 then
        st.fired = st.fired + 1
      end
      st.last_ms, st.last_id = tonumber(ARGV[from + 5]), id
    end
    st.next_ms, st.missed = next_ms, st.missed + tonumber(ARGV[from + 4])
    write_schedule_state(name, st)
  end
end
write_events()
return reply
