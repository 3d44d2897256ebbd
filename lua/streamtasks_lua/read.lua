#!lua flags=no-writes
-- read: everything known of up to 100 messages.
--
-- KEYS[1] messages     HASH     keys.messages
-- KEYS[2] state        HASH     keys.state
-- KEYS[3] history      HASH     keys.history
-- KEYS[4] progress     HASH     keys.progress
-- KEYS[5] delayed      ZSET     keys.delayed
-- KEYS[6..] records    STRING   keys.record(id), one per message; then
--          workflows   HASH     keys.workflow(id), one per workflow of which a message may be a node
-- ARGV[1] count: number of messages
-- ARGV[2] most_bytes: size of the reply; then it holds no more
-- ARGV[3..] their ids, in the order of the records; then the ids of the workflows
--
-- Returns per message, as many as fit, at least one: {record} if finished, {record, result} if its workflow keeps the result (the record names the field
--         in place of the result's size), {} if unknown (or a tombstone), else
--         {"<enqueued ms> <envelope>", state line or "", history, progress, due ms or ""}.
-- Budget: 100 messages, 512 KiB of their records and one more.
-- Moves:  nothing
-- Role:   monitor
-- Safe to repeat: yes. Clock: none.
local count = tonumber(args.count)
local workflows = {}
for w = args.more + count, #ARGV do workflows[ARGV[w]] = KEYS[keys.more + w - args.more] end
-- kept_result(id, record): the result that its workflow keeps; nil: none does; false: it is gone.
local function kept_result(id, record)
  local field = record:match('^[^\n]* ([rv][%d.]+)\n')
  if not field then return nil end
  local workflow = workflows[id:match('^(.+)%.w%d+$') or '']
  local content = workflow and redis.call('HGET', workflow, field) or false
  if content and field:sub(1, 1) == 'r' then return content:sub(content:find('\n', 1, true) + 1) end
  return content
end
local reply, room = {}, tonumber(args.most_bytes)
for i = 1, count do
  if room <= 0 then break end
  local id = ARGV[args.more - 1 + i]
  local record = redis.call('GET', KEYS[keys.more - 1 + i])
  local version = record and string.sub(record, 1, 2)
  if version == '2 ' then
    reply[i] = {} -- forgotten by a clean-up
  elseif record and version ~= '0 ' then -- a tombstone: it was revoked before it came, and may have come since
    local result = kept_result(id, record)
    reply[i] = result == nil and { record } or result and { record, result } or {} -- deleted by hand
    room = room - #record - (result and #result or 0)
  else
    local message = redis.call('HGET', keys.messages, id)
    if not message then
      reply[i] = {}
    else
      local history = redis.call('HGET', keys.history, id) or ''
      room = room - #message - #history
      reply[i] = {
        message, redis.call('HGET', keys.state, id) or '', history,
        redis.call('HGET', keys.progress, id) or '', redis.call('ZSCORE', keys.delayed, id) or '',
      }
    end
  end
end
return reply
