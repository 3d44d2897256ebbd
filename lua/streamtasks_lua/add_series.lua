#!lua
-- add_series: add what a worker has counted lately to the series of its hour and of its day.
--
-- KEYS[1] minutes      HASH     keys.minute_series(hour)
-- KEYS[2] hours        HASH     keys.hour_series(hour // 24)
-- ARGV[1] hour: since 1970, as the caller thinks, in which it was counted
-- ARGV[2] age_ms: how long ago it was counted
-- ARGV[3] worker: which has counted it
-- ARGV[4] number: of the call; of each worker it rises
-- ARGV[5] queues: so many queues have series of their own
-- ARGV[6] tasks: so many tasks have series of their own
-- ARGV[7..] per series 2 values: its name, its counts, a letter and a number each
--
-- Returns {1} added, {0} it had been added before, or {'hour', now ms}: ARGV[1] is another hour.
-- Budget: 100 series of a minute.
-- Moves:  nothing
-- Role:   worker
-- Safe to repeat: yes, by the number. Clock: server.
-- include: clock
local at = now - tonumber(args.age_ms)
local hour = math.floor(at / 3600000)
if hour ~= tonumber(args.hour) then return { 'hour', now } end
if tonumber(redis.call('HGET', keys.minutes, '#' .. args.worker) or 0) >= tonumber(args.number) then return { 0 } end
local most = { q = tonumber(args.queues), t = tonumber(args.tasks) }
-- merged(text, slot, counts): the text with counts added to the line of a minute or an hour, which goes to its end.
local function merged(text, slot, counts)
  local from, to, known = string.find(text, '\n' .. slot .. '(%a[^\n]*)')
  if not from then return text .. '\n' .. slot .. counts end
  local sums, letters = {}, {}
  for letter, count in string.gmatch(known .. counts, '(%a)(%d+)') do
    if not sums[letter] then letters[#letters + 1] = letter end
    sums[letter] = (sums[letter] or 0) + tonumber(count)
  end
  for place, letter in ipairs(letters) do letters[place] = letter .. int(sums[letter]) end
  return string.sub(text, 1, from - 1) .. string.sub(text, to + 1) .. '\n' .. slot .. table.concat(letters)
end
-- add(key, name, slot, counts): add to one series; what comes when there are too many names counts as `other`.
local function add(key, name, slot, counts)
  local text = redis.call('HGET', key, name)
  local kind = string.sub(name, 1, 1)
  if not text and most[kind] and redis.call('HINCRBY', key, '#' .. kind, 1) > most[kind] then
    redis.call('HINCRBY', key, '#' .. kind, -1)
    name = kind .. ':other'
    text = redis.call('HGET', key, name)
  end
  if not text then redis.call('HSET', key, '#names', (redis.call('HGET', key, '#names') or '') .. '\n' .. name) end
  redis.call('HSET', key, name, merged(text or '', slot, counts))
end
for place = args.more, #ARGV, 2 do
  add(keys.minutes, ARGV[place], math.floor(at / 60000) % 60, ARGV[place + 1])
  add(keys.hours, ARGV[place], hour % 24, ARGV[place + 1])
end
redis.call('HSET', keys.minutes, '#' .. args.worker, args.number)
redis.call('PEXPIREAT', keys.minutes, int((hour + 26) * 3600000))
redis.call('PEXPIREAT', keys.hours, int((math.floor(hour / 24) + 32) * 86400000))
return { 1 }
