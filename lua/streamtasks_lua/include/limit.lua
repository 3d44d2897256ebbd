-- Rate limits of a shard. `limits` holds of each limit in use "<interval us> <burst> <sequence> <asked> <answered>
-- <full at us>", then " <id>" for every message that was admitted to its stream and not claimed yet. `waiting` holds
-- who waits, in the order in which they may go: "<limit>\0<100 - priority>\0<sequence>\0<id>", all with score 0.
-- `asking` says when to look at a limit next, ms: when to ask for tokens, or when an ask counts as lost.
-- The limit a message has to wait for: name, interval, burst; nil if there is none, or it must not run anyway.
local function limit_of(s)
  if s.marks == '' or mark_of(s, 'x') then return nil end
  local interval, burst, limit = (mark_of(s, 'l') or ''):match('^(%d+),(%d+),(.+)$')
  return limit, tonumber(interval), tonumber(burst)
end
-- All the rest is made when the first message with a limit comes by: other messages do not pay for it.
local made_limits
local function limiting()
  if made_limits then return made_limits end
  local LIMIT = '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+)(.*)$'
  local function fresh_limit(interval, burst)
    return { interval = interval, burst = burst, sequence = 0, asked = 0, answered = 0, full_at = 0, out = '' }
  end
  local function read_limit(limits, limit)
    local text = redis.call('HGET', limits, limit) or ''
    local interval, burst, sequence, asked, answered, full_at, out = text:match(LIMIT)
    if not interval then return nil end
    return {
      interval = tonumber(interval), burst = tonumber(burst), sequence = tonumber(sequence), asked = tonumber(asked),
      answered = tonumber(answered), full_at = tonumber(full_at), out = out,
    }
  end
  local function write_limit(limits, limit, of)
    redis.call('HSET', limits, limit, string.format('%.0f %.0f %.0f %.0f %.0f %.0f%s', of.interval, of.burst,
      of.sequence, of.asked, of.answered, of.full_at, of.out))
  end
  local function count_out(of)
    return select(2, of.out:gsub('%S+', ''))
  end
  -- How many may be admitted and unclaimed at a time: no more than their starts could be told apart, or half a burst.
  local function most_out(of)
    return math.max(at_once(of.interval), math.min(math.ceil(of.burst / 2), 10))
  end
  -- Further ahead than this it can only be by another rate, or by a clock that was set back.
  local function bring_near(of, now)
    local grain = at_once(of.interval)
    of.full_at = math.min(of.full_at, now + (math.max(of.burst, grain) + grain) * of.interval)
  end
  -- When to ask for the next tokens, us; nil while enough messages are admitted. Those count as if they started now.
  local function ask_at(of, now)
    local out, grain = count_out(of), at_once(of.interval)
    local least = math.ceil(grain / 2)
    if out + least > most_out(of) then return nil end
    return math.max(of.full_at + (out + least - math.max(of.burst, grain)) * of.interval, now)
  end
  -- Note when to ask next, and tell the keepers if that is earlier than they know. While an ask is on its way nothing
  -- changes: its answer leads on, or its time runs out.
  local function plan_ask(asking, control, limit, of, now)
    local at = of.asked == of.answered and ask_at(of, now)
    if not at then return end
    local at_ms = at > now and math.ceil(at / 1000) or math.floor(now / 1000)
    local known = redis.call('ZSCORE', asking, limit)
    if known and tonumber(known) <= at_ms then return end
    redis.call('ZADD', asking, int(at_ms), limit)
    redis.call('SPUBLISH', control, 'limit')
  end
  local function waiting_member(limit, s, id)
    local priority = tonumber(s.name:match('^(-?%d+):') or 0)
    return limit .. '\0' .. string.format('%03d', 100 - priority) .. '\0' .. s.entry .. '\0' .. id
  end
  local function id_of_member(limit, member)
    return member:sub(#limit + 23)
  end
  -- Those who may go next, best first.
  local function heads(waiting, limit, most)
    return redis.call('ZRANGEBYLEX', waiting, '[' .. limit .. '\0', '(' .. limit .. '\1', 'LIMIT', 0, most)
  end
  -- Let a message wait for its limit, behind the others of its priority, or with `first` before them: it has waited
  -- already, and its start was for nothing. `renew`: its numbers are the newest. Its place stands in the line's word
  -- entry.
  local function wait_for_limit(keys, s, id, first, renew)
    local limit, interval, burst = limit_of(s)
    local of = read_limit(keys.limits, limit)
    if not of then
      of = fresh_limit(interval, burst)
    elseif renew then
      of.interval, of.burst = interval, burst
    end
    local place = 0
    if not first then
      of.sequence = of.sequence + 1
      place = of.sequence
    end
    local now = now_us()
    bring_near(of, now)
    s.token, s.phase, s.started, s.entry = '-', 'W', 0, string.format('%016.0f', place)
    redis.call('ZADD', keys.waiting, 0, waiting_member(limit, s, id))
    redis.call('HSET', keys.state, id, format(s))
    write_limit(keys.limits, limit, of)
    plan_ask(keys.asking, keys.control, limit, of, now)
  end
  -- A message will wait for its limit later: its numbers are the newest.
  local function renew_limit(limits, s)
    local limit, interval, burst = limit_of(s)
    local of = limit and read_limit(limits, limit)
    if of and (of.interval ~= interval or of.burst ~= burst) then
      of.interval, of.burst = interval, burst
      write_limit(limits, limit, of)
    end
  end
  -- A message leaves `waiting` without being admitted.
  local function stop_waiting(waiting, s, id)
    redis.call('ZREM', waiting, waiting_member((mark_of(s, 'l') or ''):match(',([^,]+)$') or '', s, id))
  end
  -- Take an id out of those that were admitted and not claimed; false if it was not among them.
  local function take_out(of, id)
    local from, to = string.find(of.out .. ' ', ' ' .. id .. ' ', 1, true)
    if not from then return false end
    of.out = of.out:sub(1, from - 1) .. of.out:sub(to)
    return true
  end
  -- Messages were claimed (limit, id, ...): their starts count from now on.
  local function count_starts(keys, claimed)
    local now, met = now_us(), {}
    for n = 1, #claimed, 2 do
      local limit = claimed[n]
      local of = met[limit] or read_limit(keys.limits, limit)
      if of then
        met[limit] = of
        take_out(of, claimed[n + 1])
        bring_near(of, now)
        of.full_at = math.max(of.full_at, now - slack_of(of.interval)) + of.interval
      end
    end
    for limit, of in pairs(met) do
      write_limit(keys.limits, limit, of)
      plan_ask(keys.asking, keys.control, limit, of, now)
    end
  end
  -- A claimed message goes back to its stream unstarted: it keeps its token.
  local function keep_token(limits, s, id)
    local limit, interval, burst = limit_of(s)
    local of = read_limit(limits, limit) or fresh_limit(interval, burst)
    of.full_at = math.max(0, of.full_at - of.interval)
    of.out = of.out .. ' ' .. id
    write_limit(limits, limit, of)
  end
  -- An admitted message will not be claimed: its token is lost, the next one may be asked for.
  local function not_admitted(keys, s, id)
    local limit = (mark_of(s, 'l') or ''):match(',([^,]+)$')
    local of = limit and read_limit(keys.limits, limit)
    if of and take_out(of, id) then
      write_limit(keys.limits, limit, of)
      plan_ask(keys.asking, keys.control, limit, of, now_us())
    end
  end
  made_limits = {
    fresh_limit = fresh_limit, read_limit = read_limit, write_limit = write_limit, count_out = count_out,
    most_out = most_out, bring_near = bring_near, ask_at = ask_at, id_of_member = id_of_member, heads = heads,
    wait_for_limit = wait_for_limit, renew_limit = renew_limit, stop_waiting = stop_waiting,
    count_starts = count_starts, keep_token = keep_token, take_out = take_out, not_admitted = not_admitted,
  }
  return made_limits
end
