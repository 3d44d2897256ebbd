-- place: where a message goes that nobody holds: into `delayed`, to its rate limit, or into its stream.
--
-- Keys: state, delayed, control, waiting, limits, asking, ready, streams, wake, paused, paused_ready, waits.
-- include: line, streams, delay, limit_of
local waiting_made
-- waiting_set(): the functions of include/waiting.lua; they are made when the first message with a limit comes by.
local function waiting_set()
  if not waiting_made then
    -- include: waiting
    waiting_made = { wait_for_limit = wait_for_limit, renew_limit = renew_limit, keep_token = keep_token }
  end
  return waiting_made
end
-- write_idle(s, id, phase): the state line of a message in its stream that nobody holds; none if it has no past.
local function write_idle(s, id, phase)
  if phase == 'Q' and s.marks == '' and s.attempts == 0 and s.crashes == 0 and s.lost == 0 and s.settled == '-' then
    redis.call('HDEL', keys.state, id)
    return
  end
  s.token, s.phase, s.started = '-', phase, 0
  redis.call('HSET', keys.state, id, format(s))
end
-- place(s, id, due, rank): send a message where it belongs. `due`: ms, 0: now. `rank`: see wait_for_limit; "admitted": its
-- limit has let it go. Mark s makes it a suspect in its stream, and so do two crashes: it may have been beside the culprit,
-- or be it. One whose stream the call did not bring goes through `delayed`, so that promote finds it.
local function place(s, id, due, rank)
  local admitted = rank == 'admitted'
  local limit = not admitted and limit_of(s)
  s.token, s.entry, s.started = '-', '-', 0
  if due > now or not (limit or by_name[s.name]) then
    if limit and rank == 'new' then waiting_set().renew_limit(s) end
    s.phase = 'D'
    redis.call('HSET', keys.state, id, format(s))
    park(id, math.max(due, now), s.name)
    return
  end
  local suspect = s.crashes >= 2 or mark_of(s, 's')
  if suspect then mark(s, 's', limit and '1' or nil) end
  if limit then
    waiting_set().wait_for_limit(s, id, rank)
  else
    write_idle(s, id, suspect and 'S' or 'Q')
    append(s.name, id)
  end
end
