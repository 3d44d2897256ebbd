-- The state line of one message: ten words and marks, see README.md ("state").
local LINE = '^(%S+) (%u) (%S+) (%S+) (%d+) (%d+) (%d+) (%d+) (%d+) (%S+)(.*)$'
local function parse(line)
  local token, phase, name, entry, attempts, crashes, lost, first, started, settled, marks = line:match(LINE)
  -- A line that somebody has damaged by hand: the message is there, its past is not.
  if not token then
    return {
      token = '-', phase = 'Q', name = '-', entry = '-', attempts = 0, crashes = 0, lost = 0, first = 0, started = 0,
      settled = '-', marks = '',
    }
  end
  return {
    token = token, phase = phase, name = name, entry = entry, attempts = tonumber(attempts),
    crashes = tonumber(crashes), lost = tonumber(lost), first = tonumber(first),
    started = tonumber(started), settled = settled, marks = marks,
  }
end
local function format(s)
  return string.format('%s %s %s %s %d %d %d %.0f %.0f %s%s', s.token, s.phase, s.name, s.entry,
    s.attempts, s.crashes, s.lost, s.first, s.started, s.settled, s.marks)
end
-- Marks are words behind the ten, ' <letter>=<value>' each. Return the value of one, nil if it is not there.
local function mark_of(s, letter)
  return s.marks ~= '' and s.marks:match(' ' .. letter .. '=(%S+)') or nil
end
-- Set a mark, or take it away (nil).
local function mark(s, letter, value)
  s.marks = s.marks:gsub(' ' .. letter .. '=%S+', '') .. (value and ' ' .. letter .. '=' .. value or '')
end
-- A message goes back from the hands of a holder: if it was revoked meanwhile (X), that is all it is given out for.
-- Returns whether it was.
local function keep_doom(s)
  if s.phase ~= 'X' then return false end
  mark(s, 'x', 'revoked')
  return true
end
-- Does the token hold the claim that this line describes? `prefix` is the token and a space.
local function held_by(line, prefix)
  if not line or string.find(line, prefix, 1, true) ~= 1 then return false end
  local phase = string.byte(line, #prefix + 1)
  return phase == 67 or phase == 82 or phase == 88 -- C, R, X
end
local function held(line, token)
  return held_by(line, token .. ' ')
end
-- What is worth keeping of a message that goes back to its stream unclaimed; nil if nothing is.
local function idle_line(s, phase)
  if s.attempts == 0 and s.crashes == 0 and s.lost == 0 and phase == 'Q' and s.marks == '' then return nil end
  s.token, s.phase, s.started = '-', phase, 0
  return format(s)
end
