#!lua flags=allow-oom
-- pass_wake: pass the wake token on, when a child with work in hand took it, and so may not come.
--
-- KEYS[1] ready        ZSET     keys.ready
-- KEYS[2..] lists      LIST     keys.wake, keys.queue_wake(queue): those the child waits on
-- ARGV[1] filter_mode: how the names that follow count: "all", "only" or "except"
-- ARGV[2..] queue names
--
-- Returns {passed}: 1 if something the child serves is ready, or may be (a child that is woken for nothing waits again),
--         0 if not: then no child is woken.
-- Budget: 1024 streams of those that are ready.
-- Moves:  nothing
-- Role:   worker
-- Safe to repeat: yes. Clock: server, not used.
-- include: wake
local mode, named = args.filter_mode, {}
for i = args.more, #ARGV do named[ARGV[i]] = true end
local PAGE, MOST_LOOKED_AT = 64, 1024
-- is_ready(): whether something the child serves is ready, or may be, behind more streams than one call looks at.
local function is_ready()
  for from = 0, MOST_LOOKED_AT - 1, PAGE do
    local page = redis.call('ZREVRANGE', keys.ready, from, from + PAGE - 1)
    for _, name in ipairs(page) do
      if mode == 'all' or (named[name:match('^%-?%d+:(.*)$')] == true) == (mode == 'only') then return true end
    end
    if #page < PAGE then return false end
  end
  return true
end
if not is_ready() then return { 0 } end
for i = keys.more, #KEYS do wake_one(KEYS[i]) end
return { 1 }
