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
-- One token wakes one idle child; a claim that leaves work behind rings for the next one.
local function make_ready(ready, wake, stream, name)
  local priority = name:match('^(-?%d+):')
  if redis.call('ZADD', ready, 'NX', priority, name) == 1 then
    ring(wake)
    ring(stream.wake)
  end
end
-- Append a message; the first entry of a stream also makes the group, which reads from the beginning.
local function append(streams, stream, name, id)
  local entry = redis.call('XADD', stream.key, 'NOMKSTREAM', '*', 'id', id)
  if entry then return entry end
  redis.call('XGROUP', 'CREATE', stream.key, GROUP, '0', 'MKSTREAM')
  redis.call('SADD', streams, name)
  return redis.call('XADD', stream.key, '*', 'id', id)
end
