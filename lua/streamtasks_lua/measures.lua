#!lua flags=no-writes
-- measures: how much lies in a shard and in each of some streams, and since when, each in constant time.
--
-- KEYS[1] streams      ZSET     keys.streams
-- KEYS[2] messages     HASH     keys.messages
-- KEYS[3] running      ZSET     keys.running
-- KEYS[4] delayed      ZSET     keys.delayed
-- KEYS[5] waiting      ZSET     keys.waiting
-- KEYS[6] scheduled    ZSET     keys.scheduled
-- KEYS[7] dead         STREAM   keys.dead
-- KEYS[8] waits       ZSET     keys.waits
-- KEYS[9] limits      HASH     keys.limits
-- KEYS[10] asking     ZSET     keys.asking
-- KEYS[11] audit_counts ZSET   keys.audit_counts
-- KEYS[12..] streams    STREAM   keys.stream(name) of those that are looked at
-- ARGV[1] after: names of streams behind this one are wanted; empty: from the first
-- ARGV[2] most: of them
-- ARGV[3..] names of the streams in KEYS
--
-- Returns {now ms, {unfinished, running, delayed, that wait for a limit, dead letters, first occurrence of a schedule, ms},
--          {of each stream in KEYS: entries that nobody holds, entries that are held, since when the oldest that can be
--          claimed waits, ms, 0 if there is none, entries that were ever added, ...}, {next names}, and with the
--          first call, else empty: {"delayed <queue>" or "limited <queue>", how many, ...}, the 1,000 largest; {rate limit,
--          interval us, burst, ...} of those in use, the 40 to be looked at next; {"<outcome> <operation>", how many audit
--          entries, ...}}
-- Budget: 100 streams, each with the consumers that hold something; 1,000 counts, 40 limits, 200 kinds of audit entries; the
--         time does not grow with messages.
-- Moves:  nothing
-- Role:   monitor
-- Safe to repeat: yes. Clock: server.
-- include: clock, group, nobody
local MOST_WAITS, MOST_LIMITS, MOST_OPERATIONS = 1000, 40, 200
local function since(entry)
  return tonumber(entry:match('^(%d+)')) or 0
end
-- added_to(key): how many entries a stream has ever had.
local function added_to(key)
  local about = redis.pcall('XINFO', 'STREAM', key)
  for place = 1, #about, 2 do
    if about[place] == 'entries-added' then return about[place + 1] end
  end
  return 0
end
local found = {}
for i = keys.more, #KEYS do
  local key = KEYS[i]
  local length, pending = redis.call('XLEN', key), redis.pcall('XPENDING', key, GROUP)
  local held, oldest = 0, nil
  if pending.err then
    local first = redis.call('XRANGE', key, '-', '+', 'COUNT', 1)[1]
    oldest = first and first[1]
  else
    held = pending[1]
    for _, of in ipairs(pending[4] or {}) do
      if is_nobody(of[1]) then
        held = held - of[2]
        -- Those of a paused task wait for nothing that a worker could do.
        local first = of[1]:sub(1, 7) ~= 'paused:' and redis.call('XPENDING', key, GROUP, '-', '+', 1, of[1])[1]
        if first and (not oldest or since(first[1]) < since(oldest)) then oldest = first[1] end
      end
    end
    for _, group in ipairs(redis.call('XINFO', 'GROUPS', key)) do
      local last
      for place = 1, #group, 2 do
        if group[place] == 'last-delivered-id' then last = group[place + 1] end
      end
      local unread = last and redis.call('XRANGE', key, '(' .. last, '+', 'COUNT', 1)[1]
      if unread and (not oldest or since(unread[1]) < since(oldest)) then oldest = unread[1] end
    end
  end
  found[#found + 1] = math.max(0, length - held)
  found[#found + 1] = held
  found[#found + 1] = length > held and oldest and since(oldest) or 0
  found[#found + 1] = added_to(key)
end
-- limits(): rates of the limits that are in use.
local function limits()
  local names, reply = redis.call('ZRANGE', keys.asking, 0, MOST_LIMITS - 1), {}
  for i, text in ipairs(#names > 0 and redis.call('HMGET', keys.limits, unpack(names)) or {}) do
    local interval, burst = string.match(text or '', '^(%d+) (%d+) ')
    if interval then
      reply[#reply + 1], reply[#reply + 2], reply[#reply + 3] = names[i], tonumber(interval), tonumber(burst)
    end
  end
  return reply
end
local first_due = redis.call('ZRANGE', keys.scheduled, 0, 0, 'WITHSCORES')[2]
local from = args.after == '' and '-' or '(' .. args.after
return {
  now,
  {
    redis.call('HLEN', keys.messages), redis.call('ZCARD', keys.running), redis.call('ZCARD', keys.delayed),
    redis.call('ZCARD', keys.waiting), redis.call('XLEN', keys.dead), first_due and math.floor(tonumber(first_due)) or 0,
  },
  found, redis.call('ZRANGEBYLEX', keys.streams, from, '+', 'LIMIT', 0, args.most),
  args.after == '' and redis.call('ZREVRANGE', keys.waits, 0, MOST_WAITS - 1, 'WITHSCORES') or {},
  args.after == '' and limits() or {},
  args.after == '' and redis.call('ZREVRANGE', keys.audit_counts, 0, MOST_OPERATIONS - 1, 'WITHSCORES') or {},
}
