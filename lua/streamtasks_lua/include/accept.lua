-- Terms of a message: what it waits for before it may start. "" or words, separated by spaces: "at=<ms>" or
-- "in=<ms>" (from now), "limit=<interval us>,<burst>,<name>", "after=<id>"; and, with a limit, "until=<ms>": if
-- it waits for longer it needs no token, because it will not run.
local function read_terms(terms, now)
  local of = { due = 0 }
  for word, value in terms:gmatch('(%l+)=(%S+)') do
    if word == 'at' then
      of.due = tonumber(value)
    elseif word == 'in' then
      of.due = now + tonumber(value)
    else
      of[word] = value
    end
  end
  return of
end
-- Put a message that is in `messages` already where its terms send it. `parent` is the record of the task named by
-- after=: if that has succeeded, or was ignored, there is nothing to wait for; if it ended otherwise or is unknown, the
-- message gets the mark x=parent:<id> and goes on at once, to be failed by whoever claims it; else it is blocked:
-- `links` tells the one that finishes the parent, mark a whom it waits for, mark d when it is due after that.
local function place(keys, stream, name, id, of, now, parent)
  local s = {
    token = '-', phase = 'Q', name = name, entry = '-', attempts = 0, crashes = 0, lost = 0, first = 0, started = 0,
    settled = '-', marks = of.limit and ' l=' .. of.limit or '',
  }
  if of.limit and of['until'] then mark(s, 'e', of['until']) end
  if of.after then
    local outcome = redis.call('GETRANGE', parent, 0, 63):match('^[12] %d+ (%u+)')
    if not outcome and of.after ~= id and redis.call('HEXISTS', keys.messages, of.after) == 1 then
      mark(s, 'a', of.after)
      if of.due > now then mark(s, 'd', int(of.due)) end
      s.phase = 'B'
      local children = redis.call('HGET', keys.links, of.after)
      redis.call('HSET', keys.links, of.after, children and children .. ' ' .. id or id)
      redis.call('HSET', keys.state, id, format(s))
      return
    elseif outcome ~= 'SUCCESS' and outcome ~= 'IGNORED' then
      mark(s, 'x', 'parent:' .. of.after)
      of.due = 0
    end
  end
  if of.due > now then
    if of.limit then limiting().renew_limit(keys.limits, s) end
    s.phase = 'D'
    redis.call('HSET', keys.state, id, format(s))
    park(keys.delayed, keys.control, id, of.due)
    return
  end
  if limit_of(s) then
    limiting().wait_for_limit(keys, s, id, false, true)
    return
  end
  local line = idle_line(s, 'Q')
  if line then redis.call('HSET', keys.state, id, line) end
  append(keys.streams, stream, name, id)
  make_ready(keys.ready, keys.wake, stream, name)
end
-- Accept a message once by its id; return 1, or 0 if it is known. One that was revoked before it came (its record is
-- a tombstone, "0 ...") is finished as REVOKED at once.
local function accept(keys, record, stream, name, id, of, parent, stamp, envelope, now)
  if redis.call('EXISTS', record) == 1 then
    if redis.call('GETRANGE', record, 0, 1) ~= '0 ' then return 0 end
    if redis.call('HEXISTS', keys.messages, id) == 1 then return 0 end
    local keep_ms = math.max(redis.call('PTTL', record), 900000)
    redis.call('SET', record, revoked_record(int(now), '-', 0, 0, 0, stamp .. envelope, ''), 'PX', int(keep_ms))
    redis.call('HINCRBY', keys.totals, 'REVOKED', 1)
    tell(keys.done, id)
    call_back(keys, stream, name, id, stamp)
    return 1
  end
  if redis.call('HSETNX', keys.messages, id, stamp .. envelope) == 0 then return 0 end
  if of then
    place(keys, stream, name, id, of, now, parent)
  else
    append(keys.streams, stream, name, id)
    make_ready(keys.ready, keys.wake, stream, name)
  end
  return 1
end
