-- finish: messages end, whatever ends them: their records, counts and events, and all that follows.
--
-- A script that finishes messages brings the hour's counts and, of each retention class, its index, and those of the next
-- hour; it ends here if the caller's hour is neither this one nor the one before. The indexes are the last of KEYS: of each
-- class that of the hour and that of the next.
-- workflow_keys: the key of each workflow whose nodes may finish, by its id; the script fills it.
-- Keys: messages, state, history, counts, counts_next, totals, done, links, events, delayed, control, waiting, limits,
-- asking, ready, streams, wake, paused, paused_ready, waits, unfolding, listeners, watchers.
-- include: clock, events, channel, callback_id, streams, heard
local this_hour = math.floor(now / 3600000)
local hours_on = this_hour - tonumber(args.hour)
if hours_on ~= 0 and hours_on ~= 1 then return { 'hour', now } end
-- How many messages go on that waited for one that is finished, and for all of a call; promote does the rest.
local MOST_FREED, MOST_FREED_IN_ALL = 20, 100
-- The record of the only task that finishes goes with the push, if it is small and plain: who waits for it need not read it.
local MOST_PUSHED, pushed = 1024, ''
local retentions = {} -- hours of each class, rising
for hours in args.retentions:gmatch('%d+') do retentions[#retentions + 1] = tonumber(hours) end
local RECORD = '1 ' .. int(now) .. ' '
local ended, past, endings, to_call = {}, {}, {}, {}
local ended_size, finished = 0, 0
local workflow_keys, has_nodes = {}, false
local nodes_made
-- nodes_module(): the functions of include/nodes.lua; they are made when the first node comes by.
local function nodes_module()
  if not nodes_made then
    -- include: nodes
    nodes_made = { note_node = note_node, end_nodes = end_nodes }
  end
  return nodes_made
end
-- ending(outcome, name, keep_ms): an end that several messages of one stream may share. The caller may set has_past: there
-- may be reports of earlier attempts; hears: a callback message is sent, if the end is heard of.
local function ending(outcome, name, keep_ms)
  local of = {
    outcome = outcome, name = name, text = outcome .. ' ' .. name, keep_ms = keep_ms, keep_until = now + keep_ms,
    ids = {}, count = 0, spent = 0, succeeded = outcome == 'SUCCESS' or outcome == 'IGNORED',
  }
  of.expires = int(of.keep_until)
  endings[#endings + 1] = of
  return of
end
-- finish(of, id, record, rest, started, line, reports): finish one message. `record`: its key; `rest`: the record without its
-- first two words and the reports of earlier attempts; `started`: of its attempt, ms as text, "0": none; `line`: its state
-- line, nil if it has none; `reports`: of all attempts, if they are more than its history has, else nil.
local function finish(of, id, record, rest, started, line, reports)
  ended_size = ended_size + 1
  ended[ended_size] = id
  if of.has_past then
    reports = reports or redis.call('HGET', keys.history, id) or ''
    past[#past + 1] = id
  end
  if line and has_nodes then rest = nodes_module().note_node(line, id, of, rest) end
  -- PXAT: with PX the server writes the command anew for its replicas.
  pushed = reports and RECORD .. rest .. reports or RECORD .. rest
  call('SET', record, pushed, 'PXAT', of.expires)
  finished = finished + 1
  local count = of.count + 1
  of.count, of.ids[count] = count, id
  if started ~= '0' then
    local spent = now - started
    if spent > 0 then of.spent = of.spent + spent end
  end
  if of.hears then
    local head = string.find(rest, '\n', 1, true) or 0
    if is_heard(of.outcome, byte(rest, head + 1, head + 2)) then to_call[#to_call + 1] = { of.name, id } end
  end
end
-- vanish(of, id): a callback message ends; it leaves no trace.
local function vanish(of, id)
  ended_size = ended_size + 1
  ended[ended_size] = id
  if of.has_past then past[#past + 1] = id end
end
-- keep(key, keep_ms): let a key of this hour expire so long after the hour, or later if another caller has said so.
local function keep(key, keep_ms)
  local keep_until = (this_hour + 1) * 3600000 + keep_ms
  if redis.call('PEXPIRETIME', key) < keep_until then redis.call('PEXPIREAT', key, int(keep_until)) end
end
-- write_index(): note what finished in the indexes of the hour, each of which expires with the longest record of its class.
local function write_index()
  local by_class = {}
  for _, of in ipairs(endings) do
    if of.count > 0 then
      local class = #retentions
      while class > 1 and retentions[class - 1] * 3600000 >= of.keep_ms do class = class - 1 end
      local into = by_class[class] or { words = {}, keep_ms = 0 }
      by_class[class] = into
      into.words[#into.words + 1] = of.text
      into.words[#into.words + 1] = table.concat(of.ids, ' ')
      into.keep_ms = math.max(into.keep_ms, of.keep_ms)
    end
  end
  for class, of in pairs(by_class) do
    local key = KEYS[#KEYS - 2 * (#retentions - class) - 1 + hours_on]
    redis.call('XADD', key, '*', unpack(of.words))
    keep(key, of.keep_ms)
  end
end
-- write_counts(): count what finished, in this minute and in all.
local function write_counts()
  local counts = hours_on == 0 and keys.counts or keys.counts_next
  local minute = math.floor(now / 60000) % 60 .. ' '
  local of_queue, of_all = {}, {}
  for _, of in ipairs(endings) do
    if of.count > 0 then
      local field = minute .. of.name:match(':(.*)$') .. ' '
      of_queue[field .. of.outcome] = (of_queue[field .. of.outcome] or 0) + of.count
      of_all[of.outcome] = (of_all[of.outcome] or 0) + of.count
      if of.spent > 0 then
        of_queue[field .. 'ms'] = (of_queue[field .. 'ms'] or 0) + of.spent
        of_all.ms = (of_all.ms or 0) + of.spent
      end
    end
  end
  for field, count in pairs(of_queue) do redis.call('HINCRBY', counts, field, count) end
  for outcome, count in pairs(of_all) do redis.call('HINCRBY', keys.totals, outcome, count) end
  keep(counts, args.keep_ms)
end
-- write_finished(): write what was finished, and let go what follows. Once, when all have been.
local function write_finished()
  if #past > 0 then redis.call('HDEL', keys.history, unpack(past)) end
  if #ended > 0 then
    redis.call('HDEL', keys.state, unpack(ended))
    redis.call('HDEL', keys.messages, unpack(ended))
  end
  if finished > 0 then
    write_index()
    write_counts()
    local is_pushed = finished == 1 and not nodes_made and #pushed <= MOST_PUSHED and not pushed:find('[\128-\255]')
    local buckets, behind = {}, is_pushed and ' \n' .. pushed or ''
    for _, of in ipairs(endings) do
      local ids = of.ids
      for i = 1, of.count do
        local id = ids[i]
        local bucket = (byte(id, 32) or byte(id, -1)) % 16 -- bucket_of
        local list = buckets[bucket]
        if list then list[#list + 1] = id else buckets[bucket] = { id } end
      end
    end
    for bucket, list in pairs(buckets) do
      redis.call('SPUBLISH', keys.done .. ':' .. string.format('%x', bucket), table.concat(list, ' ') .. behind)
    end
  end
  if #to_call > 0 then
    -- include: callback
    for _, one in ipairs(to_call) do
      if not is_callback(one[2]) then call_back(unpack(one)) end
    end
  end
  if nodes_made then nodes_made.end_nodes() end
  if finished > 0 and redis.call('HLEN', keys.links) > 0 then
    -- include: links
    local to_free = MOST_FREED_IN_ALL
    for _, of in ipairs(endings) do
      for _, id in ipairs(of.ids) do
        if redis.call('HEXISTS', keys.links, id) == 1 then
          to_free = to_free - free_children(id, of.succeeded, math.min(MOST_FREED, to_free))
        end
      end
    end
  end
  if noted then
    for _, of in ipairs(endings) do
      for _, id in ipairs(of.ids) do note('settled', id, of.outcome) end
    end
  end
end
