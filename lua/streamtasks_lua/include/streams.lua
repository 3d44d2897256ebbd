-- streams: the streams that a call brings, and how messages come into them.
--
-- by_name: name of each -> { key, wake list of its queue }. They stand first behind the named keys, in pairs, and their
-- names first behind the named arguments.
-- Keys: ready, streams, wake, paused, paused_ready.
-- include: group, wake
local call = redis.call -- for what runs once a message
local stream_count = tonumber(args.stream_count)
local by_name = {}
for i = 1, stream_count do
  by_name[ARGV[args.more + i - 1]] = { key = KEYS[keys.more + 2 * i - 2], wake = KEYS[keys.more + 2 * i - 1] }
end
-- hold_paused(name): a stream of a paused queue waits in `paused_ready`: score 0 for its queue, 1 for everything; else false.
local function hold_paused(name)
  local of = redis.call('ZMSCORE', keys.paused, '*', 'queue:' .. name:match('^%-?%d+:(.*)$'))
  if not of[1] and not of[2] then return false end
  redis.call('ZREM', keys.ready, name)
  redis.call('ZADD', keys.paused_ready, of[2] and 0 or 1, name)
  return true
end
-- make_ready(name): a stream has something to claim. One token wakes one idle child; a claim that leaves work behind
-- wakes the next one.
local function make_ready(name)
  local stream = by_name[name]
  if stream.made_ready then return end
  stream.made_ready = true
  if redis.call('ZADD', keys.ready, 'NX', name:match('^(-?%d+):'), name) == 1 then
    if redis.call('EXISTS', keys.paused) == 1 and hold_paused(name) then return end
    wake_one(keys.wake)
    wake_one(stream.wake)
  end
end
-- append(name, id): put a message at the end of a stream. The first entry also makes the group, which reads from the
-- beginning.
local function append(name, id)
  local stream = by_name[name]
  if not call('XADD', stream.key, 'NOMKSTREAM', '*', 'id', id) then
    call('XGROUP', 'CREATE', stream.key, GROUP, '0', 'MKSTREAM')
    call('ZADD', keys.streams, 0, name)
    call('XADD', stream.key, '*', 'id', id)
  end
  if not stream.made_ready then make_ready(name) end
end
