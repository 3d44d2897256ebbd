-- events: note what happened to messages, if the caller wants events, or somebody watches.
--
-- Keys: events, watchers.
local events_kept, is_watched = args.events_kept, false
if events_kept == '0' then
  events_kept = redis.call('GET', keys.watchers) or '0'
  is_watched = events_kept ~= '0'
end
local noted = events_kept ~= '0' and {} or nil
-- note(kind, id, detail): remember an event; nothing if events are off.
local function note(kind, id, detail)
  if not noted then return end
  local of = noted[kind] or {}
  noted[kind] = of
  of[#of + 1], of[#of + 2] = id, detail
end
-- write_events(): write what was noted, at most 100 messages an entry. What is written only for those who watch goes soon.
local function write_events()
  if not noted or not next(noted) then return end
  for _, kind in ipairs({ 'started', 'settled', 'revoked', 'accepted' }) do
    local of = noted[kind] or {}
    for at = 1, #of, 200 do
      redis.call('XADD', keys.events, 'MAXLEN', '~', events_kept, '*', 'kind', kind,
        unpack(of, at, math.min(at + 199, #of)))
    end
  end
  if is_watched then
    redis.call('PEXPIRE', keys.events, 3600000)
  else
    redis.call('PERSIST', keys.events)
  end
end
