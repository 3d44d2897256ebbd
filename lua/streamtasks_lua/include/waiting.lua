-- waiting: messages that wait for their rate limit, best first.
--
-- A member of `waiting` is "<limit>\0<100 - priority>\0<sequence>\0<id>", all with score 0; the sequence stands in the
-- state line's word entry. `asking` says when to look at a limit next, ms: when to ask for tokens, or when an ask counts
-- as lost.
-- Keys: waiting, limits, asking, control, state, waits.
-- include: limit, waits
-- waiting_member(limit, s, id): where a message stands.
local function waiting_member(limit, s, id)
  local priority = tonumber(s.name:match('^(-?%d+):') or 0)
  return limit .. '\0' .. string.format('%03d', 100 - priority) .. '\0' .. s.entry .. '\0' .. id
end
-- id_of_member(limit, member): whose place it is.
local function id_of_member(limit, member)
  return member:sub(#limit + 23)
end
-- heads(limit, most): the members that may go next, best first.
local function heads(limit, most)
  return redis.call('ZRANGEBYLEX', keys.waiting, '[' .. limit .. '\0', '(' .. limit .. '\1', 'LIMIT', 0, most)
end
-- wait_for_limit(s, id, rank): let a message wait behind the others of its priority. `rank` "first": before them,
-- because it has waited already and its start was for nothing; "new": its interval and burst are the newest.
local function wait_for_limit(s, id, rank)
  local limit, interval, burst = limit_of(s)
  local of = read_limit(limit)
  if not of then
    of = fresh_limit(interval, burst)
  elseif rank == 'new' then
    of.interval, of.burst = interval, burst
  end
  local place = 0
  if rank ~= 'first' then
    of.sequence = of.sequence + 1
    place = of.sequence
  end
  bring_near(of)
  s.token, s.phase, s.started, s.entry = '-', 'W', 0, string.format('%016.0f', place)
  if redis.call('ZADD', keys.waiting, 0, waiting_member(limit, s, id)) == 1 then count_wait('limited', s.name, 1) end
  redis.call('HSET', keys.state, id, format(s))
  write_limit(limit, of)
  plan_ask(limit, of)
end
-- renew_limit(s): a new message will wait for its limit later; its interval and burst count from now on.
local function renew_limit(s)
  local limit, interval, burst = limit_of(s)
  local of = limit and read_limit(limit)
  if of and (of.interval ~= interval or of.burst ~= burst) then
    of.interval, of.burst = interval, burst
    write_limit(limit, of)
  end
end
-- leave_waiting(member, s): a message does not stand in `waiting` any more. `s`: nil if it has no state line.
local function leave_waiting(member, s)
  if redis.call('ZREM', keys.waiting, member) == 1 and s then count_wait('limited', s.name, -1) end
end
-- stop_waiting(s, id): a message leaves `waiting` without being admitted.
local function stop_waiting(s, id)
  leave_waiting(waiting_member((mark_of(s, 'l') or ''):match(',([^,]+)$') or '', s, id), s)
end
