#!lua flags=allow-oom
-- pass_on: ring once more for a child that was rung while it has work in hand, and so may not come.
--
-- KEYS[1] ready        ZSET     keys.ready
-- KEYS[2..] lists      LIST     keys.wake, keys.queue_wake(queue): those the child waits on
-- ARGV[1] how the names that follow count: "all", "only" or "except"
-- ARGV[2..] queue names
--
-- Returns {rang}: 1 if something the child serves is ready, 0 if not: then nobody is rung.
-- Moves:  nothing
-- Safe to repeat: yes. Clock: server, not used.
-- include: streams
local ready, mode, named = KEYS[1], ARGV[1], {}
for i = 2, #ARGV do named[ARGV[i]] = true end
for _, name in ipairs(redis.call('ZREVRANGE', ready, 0, 63)) do
  if mode == 'all' or (named[name:match('^%-?%d+:(.*)$')] == true) == (mode == 'only') then
    for i = 2, #KEYS do ring(KEYS[i]) end
    return { 1 }
  end
end
return { 0 }
