-- Streams arrive as pairs in KEYS (stream, wake list of its queue) from `first`, their names in ARGV.
local GROUP = 'workers'
local function given_streams(first, count, first_name)
  local by_name = {}
  for i = 1, count do
    by_name[ARGV[first_name + i - 1]] = { key = KEYS[first + 2 * i - 2], wake = KEYS[first + 2 * i - 1] }
  end
  return by_name
end
local function ring(wake)
  if redis.call('LLEN', wake) == 0 then redis.call('LPUSH', wake, '1') end
end
-- One token wakes one idle child; a claim that leaves work behind rings for the next one. Once a call is enough.
local function make_ready(ready, wake, stream, name)
  if stream.made_ready then return end
  stream.made_ready = true
  if redis.call('ZADD', ready, 'NX', name:match('^(-?%d+):'), name) == 1 then
    ring(wake)
    ring(stream.wake)
  end
end
-- Append a message; the first entry of a stream also makes the group, which reads from the beginning.
local function append(streams, stream, name, id)
  local entry = redis.call('XADD', stream.key, 'NOMKSTREAM', '*', 'id', id)
  if entry then return entry end
  redis.call('XGROUP', 'CREATE', stream.key, GROUP, '0', 'MKSTREAM')
  redis.call('ZADD', streams, 0, name)
  return redis.call('XADD', stream.key, '*', 'id', id)
end
-- A claimed message leaves its stream.
local function drop_entry(stream, s)
  redis.call('XACK', stream.key, GROUP, s.entry)
  redis.call('XDEL', stream.key, s.entry)
  s.entry = '-'
end
-- Give a claimed entry to a pseudo-consumer, from which the next claim takes it at its old place. If the entry
-- has vanished (a stream trimmed by hand), the message gets a new one: it is the message that counts.
local function put_back(messages, streams, stream, s, id, who)
  local kept = redis.pcall('XCLAIM', stream.key, GROUP, who, 0, s.entry, 'JUSTID')
  if kept.err then -- the group was destroyed by hand: a new one reads from the beginning, this entry included
    redis.call('XGROUP', 'CREATE', stream.key, GROUP, '0', 'MKSTREAM')
    kept = {}
  end
  if #kept > 0 or #redis.call('XRANGE', stream.key, s.entry, s.entry) > 0 then return end
  if redis.call('HEXISTS', messages, id) == 1 then append(streams, stream, s.name, id) end
end
