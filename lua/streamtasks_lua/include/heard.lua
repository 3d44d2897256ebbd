-- heard: whether anything hears of an end that no child has seen; only then a callback message is worth its way.
--
-- A producer that knows says so, in zeros before the time in `<enqueued ms> <envelope>`: none: everything is heard of;
-- "0": all but a revocation; "00": nothing. A worker that listens to the ends of all tasks (middleware, receivers of
-- signals) says so with each beat, in `listeners`; then everything is heard of, whatever the producer knew.
-- Keys: listeners.
local has_listeners
-- is_heard(outcome, first, second): `first`, `second`: bytes of the message's body.
local function is_heard(outcome, first, second)
  if first ~= 48 or (outcome ~= 'REVOKED' and second ~= 48) then return true end
  if has_listeners == nil then has_listeners = redis.call('EXISTS', keys.listeners) == 1 end
  return has_listeners
end
