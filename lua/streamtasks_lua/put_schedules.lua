#!lua
-- put_schedules: store up to 100 schedules: one that is made or changed at run time, or those that an app's code declares.
--
-- KEYS[1] schedules    HASH     keys.schedules
-- KEYS[2] states       HASH     keys.schedule_states
-- KEYS[3] names        ZSET     keys.schedule_names
-- KEYS[4] scheduled    ZSET     keys.scheduled
-- KEYS[5] revision     STRING   keys.schedule_revision
-- KEYS[6] control      CHANNEL  keys.control
-- KEYS[7] declarations HASH     keys.declarations
-- KEYS[8] declared     ZSET     keys.declared(label)
-- KEYS[9] came_first   STRING   keys.release(label and release): when it came first, ms; expires by itself
-- ARGV[1] label: of the project whose code declares them; "": they are made at run time
-- ARGV[2] since_ms: when that code was loaded
-- ARGV[3] release: its name, "": it has none. Of a release counts when it came first, as long as a worker has it.
-- ARGV[4] silent_ms: what no worker has declared for longer counts as gone
-- ARGV[5..] per schedule 5 values: name, revision that it replaces (0: none; of a declared one: any), next occurrence in
--         ms or "-", rule, definition
--
-- Returns {now ms, code...}: per schedule 0 conflict (it exists, or is not of that revision; or a later release of its
--         project declares), 1 stored, 2 it is there already, to the byte, 3 the name is taken (by one that was made
--         otherwise, or by another project that is not gone).
-- Budget: 100 schedules, 512 KiB of them and one more.
-- Moves:  nothing
-- Role:   producer
-- Safe to repeat: yes, by content. Clock: server. A schedule whose rule stays keeps its next occurrence, and being
--         paused. Revisions rise over all schedules, so none comes again after a schedule was dropped.
-- include: clock, schedule, schedule_text, schedule_next
local label, since, silent_ms = args.label, tonumber(args.since_ms), tonumber(args.silent_ms)
local reply = { now }
local outdated = false
-- heard(project): since when its declarations count, ms; nil: no worker has declared them lately; 0: unknown, because the
-- clock went back.
local function heard(project)
  local first, last = (redis.call('HGET', keys.declarations, project) or ''):match('^(%d+) (%d+)$')
  if not first or math.abs(now - last) > silent_ms then return nil end
  return tonumber(first) <= now and tonumber(first) or 0
end
if label ~= '' then
  if args.release ~= '' then
    local first = tonumber(redis.call('GET', keys.came_first) or '')
    if first and first <= now then since = first end
    redis.call('SET', keys.came_first, int(since), 'PX', math.max(1, silent_ms))
  end
  local latest = heard(label)
  outdated = latest and latest > since
  if not outdated then redis.call('HSET', keys.declarations, label, int(since) .. ' ' .. int(now)) end
end
-- put(...): store one; its code.
local function put(name, replaces, next_ms, rule, definition)
  local known = read_schedule(name)
  local mine = known and known.label == label
  if known and not mine and (label == '' or known.label == '' or heard(known.label)) then return 3 end
  local same = mine and known.definition == definition and known.rule == rule
  if label ~= '' and (mine or not outdated) then redis.call('ZADD', keys.declared, int(now), name) end
  if outdated then return same and 2 or 0 end
  if same then return 2 end
  if label == '' and replaces ~= (known and known.revision or 0) then return 0 end
  local number = redis.call('INCR', keys.revision)
  redis.call('HSET', keys.schedules, name, string.format('%d %d %d\n', number, #label, #rule) .. label .. rule .. definition)
  redis.call('ZADD', keys.names, 0, name)
  local st = read_schedule_state(name)
  if not known or known.rule ~= rule then st.next_ms = next_ms end
  write_schedule_state(name, st)
  publish_next(name)
  return 1
end
for at = args.more, #ARGV, 5 do
  reply[#reply + 1] = put(ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), ARGV[at + 3], ARGV[at + 4])
end
return reply
