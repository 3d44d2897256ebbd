-- line: the state line of one message, ten words and marks; see README.md ("State line").
--
-- Keys: none.
local LINE = '^(%S+) (%u) (%S+) (%S+) (%d+) (%d+) (%d+) (%d+) (%d+) (%S+)(.*)$'
-- new_line(name, phase): the parsed line of a message without a past, whose stream has that name.
local function new_line(name, phase)
  return {
    token = '-', phase = phase, name = name, entry = '-', attempts = 0, crashes = 0, lost = 0, first = 0, started = 0,
    settled = '-', marks = '',
  }
end
-- parse(line): its words by their names. Of a line that was damaged by hand the past is lost, not the message.
local function parse(line)
  local token, phase, name, entry, attempts, crashes, lost, first, started, settled, marks = line:match(LINE)
  if not token then return new_line('-', 'Q') end
  return {
    token = token, phase = phase, name = name, entry = entry, attempts = tonumber(attempts),
    crashes = tonumber(crashes), lost = tonumber(lost), first = tonumber(first),
    started = tonumber(started), settled = settled, marks = marks,
  }
end
-- format(s): the text of a parsed line.
local function format(s)
  return string.format('%s %s %s %s %d %d %d %.0f %.0f %s%s', s.token, s.phase, s.name, s.entry,
    s.attempts, s.crashes, s.lost, s.first, s.started, s.settled, s.marks)
end
-- mark_of(s, letter): the value of a mark (' <letter>=<value>' behind the ten words), nil if there is none.
local function mark_of(s, letter)
  return s.marks ~= '' and s.marks:match(' ' .. letter .. '=(%S+)') or nil
end
-- mark(s, letter, value): set a mark; nil: remove it.
local function mark(s, letter, value)
  s.marks = s.marks:gsub(' ' .. letter .. '=%S+', '') .. (value and ' ' .. letter .. '=' .. value or '')
end
