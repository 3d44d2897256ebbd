#!lua flags=no-writes
-- unfinished: a page of the ids of messages that wait: in streams, for their time, or for their limit.
--
-- KEYS[1] delayed      ZSET     keys.delayed
-- KEYS[2] waiting      ZSET     keys.waiting
-- KEYS[3..] streams    STREAM   keys.stream(name), in the order in which they are read
-- ARGV[1] kind: "queued": in those streams, claimed ones included; "delayed"; "limited"
-- ARGV[2] after: position behind which to go on, of the first stream, or of the set; "": from the first
-- ARGV[3] most: ids at most, at most 100
-- ARGV[4] entries: 1: "<entry>,<id>" in place of ids that are queued, 0: ids
--
-- Returns {number of the stream that was read last, position behind the last id, id...}: the position is "" if there are
--         no more. Of the delayed ones those of the last ms may come again if its last one has gone meanwhile.
-- Budget: 100 ids, 256 streams.
-- Moves:  nothing
-- Role:   monitor
-- Safe to repeat: yes. Clock: none.
local most = tonumber(args.most)
-- of_streams(): ids of entries.
local function of_streams()
  local reply, after = { 0, '' }, args.after == '' and '-' or '(' .. args.after
  for at = keys.more, #KEYS do
    local wanted = most - (#reply - 2)
    local entries = redis.call('XRANGE', KEYS[at], after, '+', 'COUNT', wanted)
    for _, entry in ipairs(entries) do
      local id = entry[2][1] == 'id' and entry[2][2] or ''
      reply[#reply + 1] = args.entries == '1' and entry[1] .. ',' .. id or id
    end
    if #entries == wanted then
      reply[1], reply[2] = at - keys.more + 1, entries[wanted][1]
      break
    end
    after = '-'
  end
  return reply
end
-- of_delayed(): ids by the times at which they are due.
local function of_delayed()
  local from, reply = 0, { 0, '' }
  if args.after ~= '' then
    local due, id = args.after:match('^(%S+) (.+)$')
    local score = redis.call('ZSCORE', keys.delayed, id)
    if score and score == due then
      from = redis.call('ZRANK', keys.delayed, id) + 1
    else
      from = redis.call('ZCOUNT', keys.delayed, '-inf', '(' .. due)
    end
  end
  local page = redis.call('ZRANGE', keys.delayed, from, from + most - 1, 'WITHSCORES')
  for at = 1, #page, 2 do
    if page[at]:sub(1, 5) ~= 'free ' then reply[#reply + 1] = page[at] end
  end
  if #page == 2 * most then reply[2] = page[#page] .. ' ' .. page[#page - 1] end
  return reply
end
-- of_limits(): ids in the order in which each limit lets them go.
local function of_limits()
  local reply = { 0, '' }
  local page = redis.call('ZRANGEBYLEX', keys.waiting, args.after == '' and '-' or '(' .. args.after, '+', 'LIMIT', 0, most)
  for _, member in ipairs(page) do reply[#reply + 1] = member:match('([^%z]*)$') end
  if #page == most then reply[2] = page[most] end
  return reply
end
if args.kind == 'queued' then return of_streams() end
return args.kind == 'delayed' and of_delayed() or of_limits()
