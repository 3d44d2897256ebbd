-- one_suspect: one suspect at a time in a worker, and one child of all that makes room for those of a stream.
--
-- Two beside each other would be lost together again and again. Who makes room is reserved for RESERVED_MS at a time:
-- the others go on with what else there is.
--
-- Keys: leases, reserved, suspect.
-- Needs: consumer (its name), now, args.alone. Sets is_skipped: a suspect was left to another child.
local RESERVED_MS = 2000
local is_skipped, worker_has_one = false, args.alone == '-1' or nil

-- may_take(): whether no other child of this worker holds a suspect.
local function may_take()
  if worker_has_one == nil then
    local held = redis.call('GET', keys.suspect)
    worker_has_one = held and held:gsub('#%d+$', '') ~= consumer and redis.call('ZSCORE', keys.leases, held) and true
      or false
  end
  return not worker_has_one
end

-- reserve(name): set the flags of a child whose hands are full. It keeps a reservation as long as it looks.
local function reserve(name)
  local who, until_ms = (redis.call('HGET', keys.reserved, name) or ''):match('^(%S+) (%d+)$')
  local left = (tonumber(until_ms) or 0) - now
  if who ~= consumer and left > 0 and left <= RESERVED_MS then return false end
  redis.call('HSET', keys.reserved, name, consumer .. ' ' .. int(now + RESERVED_MS))
  redis.call('PEXPIRE', keys.reserved, 60000)
  return true
end

-- leave_suspect(name): note that one stays in a stream; whether this child makes room for it.
local function leave_suspect(name)
  if may_take() and reserve(name) then return 1 end
  is_skipped = true
  return 0
end
