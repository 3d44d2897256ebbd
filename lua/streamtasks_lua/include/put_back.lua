-- put_back: a message goes back from its holder's hands to its old place.
--
-- Keys: messages, state, ready, streams, wake, paused, paused_ready, waits, delayed, control, waiting, limits, asking, running, progress, leases,
-- batches.
-- include: leave, place
-- keep_revoked(s): one that was revoked while it was held (X) is given out only to be settled as that. Returns whether.
local function keep_revoked(s)
  if s.phase ~= 'X' then return false end
  mark(s, 'x', 'revoked')
  return true
end
-- leave_hands(s, id): `s` is the message's line as its holder had it.
local function leave_hands(s, id)
  leave(s.token, 1)
  if s.phase ~= 'C' then running[#running + 1] = id end
end
-- put_back(s, id): `s` is its line as its holder had it. Its entry goes to a consumer that does not exist, from which the
-- next claim takes it; with mark s only a child with empty hands. If the entry has vanished (a stream trimmed by hand),
-- the message gets a new one: it is the message that counts.
local function put_back(s, id)
  local stream, suspect = by_name[s.name].key, mark_of(s, 's')
  leave_hands(s, id)
  if suspect then mark(s, 's', nil) end
  local kept = redis.pcall('XCLAIM', stream, GROUP, suspect and 'suspect' or 'returned', 0, s.entry, 'JUSTID')
  if kept.err then -- the group was destroyed by hand: a new one reads from the beginning, this entry included
    redis.call('XGROUP', 'CREATE', stream, GROUP, '0', 'MKSTREAM')
    kept = {}
  end
  if #kept == 0 and #redis.call('XRANGE', stream, s.entry, s.entry) == 0
    and redis.call('HEXISTS', keys.messages, id) == 1 then append(s.name, id) end
  write_idle(s, id, suspect and 'S' or 'Q')
  make_ready(s.name)
end
-- start_over(s, id, due): it goes to its rate limit before the others, or into `delayed`: its start was for nothing.
local function start_over(s, id, due)
  local entries = entries_left(by_name[s.name].key)
  entries[#entries + 1] = s.entry
  leave_hands(s, id)
  place(s, id, due, 'first')
end
