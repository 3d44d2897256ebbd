-- A claim's messages stand under its token in `batches`: "<how many> <id> <id> ...". The lease is the token's.
-- Release a token whose messages are all out of its hands; one that still holds a message keeps its lease.
-- `out` says how many of them the caller has just settled.
local function release(batches, leases, state, token, out)
  local batch = redis.call('HGET', batches, token)
  if batch then
    local size, rest = batch:match('^(%d+)(.*)$')
    if tonumber(size) > out then
      local prefix = token .. ' '
      for id in rest:gmatch('%S+') do
        if held_by(redis.call('HGET', state, id), prefix) then return false end
      end
    end
    redis.call('HDEL', batches, token)
  end
  redis.call('ZREM', leases, token)
  return true
end
