-- Keep an hour's keys until then, ms; whoever keeps records longest decides.
local function keep_until(key, at)
  if redis.call('PEXPIRETIME', key) < at then redis.call('PEXPIREAT', key, int(at)) end
end
