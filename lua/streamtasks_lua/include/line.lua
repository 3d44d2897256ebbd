-- The state line of one message: ten words, see README.md ("state").
local LINE = '^(%S+) (%u) (%S+) (%S+) (%d+) (%d+) (%d+) (%d+) (%d+) (%S+)$'
local function parse(line)
  local token, phase, name, entry, attempts, crashes, lost, first, started, settled = line:match(LINE)
  -- A line that somebody has damaged by hand: the message is there, its past is not.
  if not token then
    return {
      token = '-', phase = 'Q', name = '-', entry = '-', attempts = 0, crashes = 0, lost = 0, first = 0, started = 0,
      settled = '-',
    }
  end
  return {
    token = token, phase = phase, name = name, entry = entry, attempts = tonumber(attempts),
    crashes = tonumber(crashes), lost = tonumber(lost), first = tonumber(first),
    started = tonumber(started), settled = settled,
  }
end
local function format(s)
  return string.format('%s %s %s %s %d %d %d %.0f %.0f %s', s.token, s.phase, s.name, s.entry,
    s.attempts, s.crashes, s.lost, s.first, s.started, s.settled)
end
-- Does the token hold the claim that this line describes? `prefix` is the token and a space.
local function held_by(line, prefix)
  if not line or string.find(line, prefix, 1, true) ~= 1 then return false end
  local phase = string.byte(line, #prefix + 1)
  return phase == 67 or phase == 82 -- C, R
end
local function held(line, token)
  return held_by(line, token .. ' ')
end
-- What is worth keeping of a message that goes back to its stream unclaimed; nil if nothing is.
local function idle_line(s, phase)
  if s.attempts == 0 and s.crashes == 0 and s.lost == 0 and phase == 'Q' then return nil end
  s.token, s.phase, s.started = '-', phase, 0
  return format(s)
end
