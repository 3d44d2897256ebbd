#!lua flags=allow-oom
-- pass_wake: pass the wake token on, when a child with work in hand took it, and so may not come.
--
-- KEYS[1] ready        ZSET     keys.ready
-- KEYS[2..] lists      LIST     keys.wake, keys.queue_wake(queue): those the child waits on
-- ARGV[1] filter_mode: how the names that follow count: "all", "only" or "except"
-- ARGV[2..] queue names
--
-- Returns {passed}: 1 if something the child serves is ready, 0 if not: then no child is woken.
-- Moves:  nothing
-- Safe to repeat: yes. Clock: server, not used.
-- include: wake
local mode, named = args.filter_mode, {}
for i = args.more, #ARGV do named[ARGV[i]] = true end
for _, name in ipairs(redis.call('ZREVRANGE', keys.ready, 0, 63)) do
  if mode == 'all' or (named[name:match('^%-?%d+:(.*)$')] == true) == (mode == 'only') then
    for i = keys.more, #KEYS do wake_one(KEYS[i]) end
    return { 1 }
  end
end
return { 0 }
