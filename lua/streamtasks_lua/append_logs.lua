#!lua
-- append_logs: keep lines that attempts have logged with their tasks; of too many the middle is dropped.
--
-- KEYS[1] messages     HASH     keys.messages
-- KEYS[2..] records    STRING   keys.record(id), one per task; then
--          logs        HASH     keys.log(id), one per task
-- ARGV[1] nonce: of this call
-- ARGV[2] half: bytes that are kept of the beginning of a task's lines, and of their end; no line may be longer
-- ARGV[3] keep_ms: for how long lines are kept of a task that is not finished
-- ARGV[4..] per task 4 values: id, lines, how many lines behind them were dropped, lines behind those
--
-- Returns {code...}: 2 kept until its record expires, 1 kept, the task is not finished, 0 the task is not known.
-- Budget: 100 tasks, 512 KiB of lines and those of one more, and as many that are kept.
-- Moves:  nothing
-- Role:   worker
-- Safe to repeat: yes, by nonce, until another call has come. Clock: server.
local half, tasks, reply = tonumber(args.half), (#ARGV - args.more + 1) / 4, {}
-- lines_of(text): how many lines there are.
local function lines_of(text) return select(2, string.gsub(text, '\n', '')) end
-- add(log, text): add lines at the end.
local function add(log, text)
  if log.last == '' and log.left_out == 0 then
    local cut, room = #text, half - #log.first
    if cut > room then
      local head = string.match(string.sub(text, 1, math.max(0, room)), '^.*\n') or ''
      cut = #head
    end
    log.first, text = log.first .. string.sub(text, 1, cut), string.sub(text, cut + 1)
  end
  log.last = log.last .. text
  if #log.last > half then
    local cut = string.find(log.last, '\n', #log.last - half, true)
    log.left_out = log.left_out + lines_of(string.sub(log.last, 1, cut))
    log.last = string.sub(log.last, cut + 1)
  end
end
for i = 1, tasks do
  local at = args.more + 4 * (i - 1)
  local record, key = KEYS[keys.more + i - 1], KEYS[keys.more + tasks + i - 1]
  local ended = redis.call('GETRANGE', record, 0, 1) == '1 '
  if not ended and redis.call('HEXISTS', keys.messages, ARGV[at]) == 0 then
    reply[i] = 0
  else
    local new, skipped, newest = ARGV[at + 1], tonumber(ARGV[at + 2]), ARGV[at + 3]
    if new ~= '' or skipped > 0 or newest ~= '' then
      local known = redis.call('HMGET', key, 'nonce', 'first', 'left_out', 'last')
      if known[1] ~= args.nonce then
        local log = { first = known[2] or '', left_out = tonumber(known[3] or 0), last = known[4] or '' }
        add(log, new)
        if skipped > 0 then
          log.left_out, log.last = log.left_out + lines_of(log.last) + skipped, ''
        end
        add(log, newest)
        local lines = lines_of(log.first) + log.left_out + lines_of(log.last)
        redis.call(
          'HSET', key, 'nonce', args.nonce, 'first', log.first, 'left_out', log.left_out, 'last', log.last, 'lines', lines
        )
      end
    end
    if ended then
      redis.call('PEXPIREAT', key, redis.call('PEXPIRETIME', record))
    else
      redis.call('PEXPIRE', key, args.keep_ms)
    end
    reply[i] = ended and 2 or 1
  end
end
return reply
