#!lua flags=allow-oom
-- ready: say what the best priority is at which there is something to claim, and listen for more.
--
-- KEYS[1] ready        ZSET     keys.ready
-- KEYS[2..] lists      LIST     keys.wake, keys.queue_wake(queue): those to whose channels the worker listens
-- ARGV[1] filter_mode: how the names that follow count: "all", "only" or "except"
-- ARGV[2..] queue names
--
-- Returns {best}: 101 + that priority; 0: nothing is ready that a child with this filter serves, as far as one call looks.
-- Budget: 1024 streams of those that are ready.
-- Moves:  nothing
-- Role:   worker
-- Safe to repeat: yes. Clock: server, not used.
-- include: listen
local mode, named = args.filter_mode, {}
for i = args.more, #ARGV do named[ARGV[i]] = true end
local PAGE, MOST_LOOKED_AT = 64, 1024
-- best(): what is returned.
local function best()
  if mode == 'all' then
    local name = redis.call('ZREVRANGE', keys.ready, 0, 0)[1]
    return name and 101 + tonumber(name:match('^(-?%d+):')) or 0
  end
  for from = 0, MOST_LOOKED_AT - 1, PAGE do
    local page = redis.call('ZREVRANGE', keys.ready, from, from + PAGE - 1)
    for _, name in ipairs(page) do
      local priority, queue = name:match('^(-?%d+):(.*)$')
      if (named[queue] == true) == (mode == 'only') then return 101 + tonumber(priority) end
    end
    if #page < PAGE then break end
  end
  return 0
end
local found = best()
for i = keys.more, #KEYS do
  local length = redis.call('LLEN', KEYS[i])
  -- Who was told before (three marks) finds nothing any more: without a claim, nobody would be told of the next message.
  if length < 2 or (length > 2 and found == 0) then publish_next(KEYS[i]) end
end
return { found }
