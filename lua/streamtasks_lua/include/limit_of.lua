-- limit_of: the rate limit that a message counts against.
--
-- Keys: none.
-- include: line
-- limit_of(s): name, interval in us, burst; nil: it has none, or must not run anyway.
local function limit_of(s)
  if s.marks == '' or mark_of(s, 'x') then return nil end
  local interval, burst, limit = (mark_of(s, 'l') or ''):match('^(%d+),(%d+),(.+)$')
  return limit, tonumber(interval), tonumber(burst)
end
