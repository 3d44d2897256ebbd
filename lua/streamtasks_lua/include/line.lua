-- The state line of one message: ten words, see README.md ("state").
local LINE = '^(%S+) (%u) (%S+) (%S+) (%d+) (%d+) (%d+) (%d+) (%d+) (%S+)$'
local function parse(line)
  local token, phase, name, entry, attempts, crashes, lost, first, started, settled = line:match(LINE)
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
-- Does `token` hold the claim that this line describes?
local function held(line, token)
  if not line or line:sub(1, #token + 1) ~= token .. ' ' then return false end
  local phase = line:sub(#token + 2, #token + 2)
  return phase == 'C' or phase == 'R'
end
-- What is worth keeping of a message that goes back to its stream unclaimed; nil if nothing is.
local function idle_line(s, phase)
  if s.attempts == 0 and s.crashes == 0 and s.lost == 0 and phase == 'Q' then return nil end
  s.token, s.phase, s.started = '-', phase, 0
  return format(s)
end
