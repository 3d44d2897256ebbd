-- limit: what a shard knows of the rate limits in use; see README.md ("Rate limits").
--
-- A limit is a table: interval (us) and burst; sequence: of the last that began to wait; asked, answered: numbers of the
-- last ask and of the last answer; full_at (us): the shard's own count, see rate; out: " <id>" for every message that was
-- admitted and not claimed yet.
-- Keys: limits, asking, control.
-- include: clock, rate, limit_of
local LIMIT = '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+)(.*)$'
-- fresh_limit(interval, burst): a limit that is not in use yet.
local function fresh_limit(interval, burst)
  return { interval = interval, burst = burst, sequence = 0, asked = 0, answered = 0, full_at = 0, out = '' }
end
-- read_limit(limit): the limit of that name, nil if it is not in use.
local function read_limit(limit)
  local text = redis.call('HGET', keys.limits, limit) or ''
  local interval, burst, sequence, asked, answered, full_at, out = text:match(LIMIT)
  if not interval then return nil end
  return {
    interval = tonumber(interval), burst = tonumber(burst), sequence = tonumber(sequence), asked = tonumber(asked),
    answered = tonumber(answered), full_at = tonumber(full_at), out = out,
  }
end
-- write_limit(limit, of): store it.
local function write_limit(limit, of)
  redis.call('HSET', keys.limits, limit, string.format('%.0f %.0f %.0f %.0f %.0f %.0f%s', of.interval, of.burst,
    of.sequence, of.asked, of.answered, of.full_at, of.out))
end
-- count_out(of): how many are admitted and unclaimed.
local function count_out(of)
  return select(2, of.out:gsub('%S+', ''))
end
-- most_out(of): how many may be; no more than their starts could be told apart, or half a burst.
local function most_out(of)
  return math.max(at_once(of.interval), math.min(math.ceil(of.burst / 2), 10))
end
-- bring_near(of): full_at further ahead than this is of another rate, or of a clock that was set back.
local function bring_near(of)
  local grain = at_once(of.interval)
  of.full_at = math.min(of.full_at, now_us + (math.max(of.burst, grain) + grain) * of.interval)
end
-- ask_at(of): when to ask for the next tokens, us; nil while enough are admitted. Those count as if they started now.
local function ask_at(of)
  local out, grain = count_out(of), at_once(of.interval)
  local least = math.ceil(grain / 2)
  if out + least > most_out(of) then return nil end
  return math.max(of.full_at + (out + least - math.max(of.burst, grain)) * of.interval, now_us)
end
-- wanted(of): how many tokens to ask for now, at least one when ask_at(of) has come: no more than the shard's own count
-- allows to start at once. The limiter may have more: its count is of tokens, which may have been used late.
local function wanted(of)
  local from = math.max(of.full_at, now_us - slack_of(of.interval))
  local own = math.floor((now_us - from) / of.interval) + math.max(of.burst, at_once(of.interval))
  return math.min(most_out(of), own) - count_out(of)
end
-- plan_ask(limit, of): note when to ask next, and tell keepers if that is earlier than they know. While an ask is on its
-- way nothing changes: its answer leads on, or its time runs out.
local function plan_ask(limit, of)
  local at = of.asked == of.answered and ask_at(of)
  if not at then return end
  local at_ms = at > now_us and math.ceil(at / 1000) or now
  local known = redis.call('ZSCORE', keys.asking, limit)
  if known and tonumber(known) <= at_ms then return end
  redis.call('ZADD', keys.asking, int(at_ms), limit)
  redis.call('SPUBLISH', keys.control, 'limit')
end
-- take_out(of, id): take an id out of those that are admitted and unclaimed; false if it was not among them.
local function take_out(of, id)
  local from, to = string.find(of.out .. ' ', ' ' .. id .. ' ', 1, true)
  if not from then return false end
  of.out = of.out:sub(1, from - 1) .. of.out:sub(to)
  return true
end
-- count_starts(claimed): messages were claimed, given as limit, id, ...: their starts count from now on.
local function count_starts(claimed)
  local met = {}
  for n = 1, #claimed, 2 do
    local limit = claimed[n]
    local of = met[limit] or read_limit(limit)
    if of then
      met[limit] = of
      take_out(of, claimed[n + 1])
      bring_near(of)
      of.full_at = math.max(of.full_at, now_us - slack_of(of.interval)) + of.interval
    end
  end
  for limit, of in pairs(met) do
    write_limit(limit, of)
    plan_ask(limit, of)
  end
end
-- keep_token(s, id): a claimed message goes back to its stream unstarted; its token is used by its next claim.
local function keep_token(s, id)
  local limit, interval, burst = limit_of(s)
  local of = read_limit(limit) or fresh_limit(interval, burst)
  of.full_at = math.max(0, of.full_at - of.interval)
  of.out = of.out .. ' ' .. id
  write_limit(limit, of)
end
-- lose_token(s, id): an admitted message will not be claimed: its token is lost, the next one may be asked for.
local function lose_token(s, id)
  local limit = (mark_of(s, 'l') or ''):match(',([^,]+)$')
  local of = limit and read_limit(limit)
  if of and take_out(of, id) then
    write_limit(limit, of)
    plan_ask(limit, of)
  end
end
