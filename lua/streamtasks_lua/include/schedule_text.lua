-- schedule_text: what a schedule is, as text; see include/schedule.lua.
--
-- Keys: schedules.
-- read_schedule(name): revision, label, rule and definition by these names; nil if there is none of that name.
local function read_schedule(name)
  local text = redis.call('HGET', keys.schedules, name)
  if not text then return nil end
  local revision, label, rule, at = text:match('^(%d+) (%d+) (%d+)\n()')
  local rule_at = at + label
  local definition_at = rule_at + rule
  return {
    revision = tonumber(revision), label = text:sub(at, rule_at - 1), rule = text:sub(rule_at, definition_at - 1),
    definition = text:sub(definition_at),
  }
end
