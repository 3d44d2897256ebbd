-- terms: what a new message waits for before it may start.
--
-- Terms are words, separated by spaces: first "hears=1" or "hears=0", if that is known: only failures, or nothing, is heard
-- of when it ends without a child (include/heard.lua); then "at=<ms>" or "in=<ms>" (from now), "limit=<interval us>,<burst>,<name>",
-- "after=<id>"; and, with a limit, "until=<ms>" or "within=<ms>" (from now): if it waits for longer it needs no token,
-- because it will not run.
-- Keys: state, messages, links, delayed, control, waiting, limits, asking, ready, streams, wake, paused, paused_ready, waits.
-- include: clock, place, children
-- place_new(name, id, terms, parent, revoked): place a message that is in `messages` already. `parent` is the record of the
-- task named by after=: if that has succeeded, or was ignored, there is nothing to wait for; if it ended otherwise or is
-- unknown, the message gets mark x=parent:<id> and goes on at once, to be failed by the child that claims it; else it is
-- blocked: `links` tells the script that finishes the parent, mark a what it waits for, mark d when it is due after that.
-- `revoked`: it was revoked before it came, and goes on at once.
local function place_new(name, id, terms, parent, revoked)
  local s, due, after = new_line(name, 'Q'), 0, nil
  for word, value in terms:gmatch('(%l+)=(%S+)') do
    if word == 'at' then
      due = tonumber(value)
    elseif word == 'in' then
      due = now + tonumber(value)
    elseif word == 'limit' then
      mark(s, 'l', value)
    elseif word == 'until' then
      mark(s, 'e', value)
    elseif word == 'within' then
      mark(s, 'e', int(now + tonumber(value)))
    elseif word == 'after' then
      after = value
    end
  end
  if revoked then
    mark(s, 'x', 'revoked')
    due = 0
  elseif after then
    local outcome = redis.call('GETRANGE', parent, 0, 63):match('^[12] %d+ (%u+)')
    if not outcome and after ~= id and redis.call('HEXISTS', keys.messages, after) == 1 then
      mark(s, 'a', after)
      if due > now then mark(s, 'd', int(due)) end
      s.phase = 'B'
      add_child(after, id)
      redis.call('HSET', keys.state, id, format(s))
      return
    elseif outcome ~= 'SUCCESS' and outcome ~= 'IGNORED' then
      mark(s, 'x', 'parent:' .. after)
      due = 0
    end
  end
  place(s, id, due, 'new')
end
