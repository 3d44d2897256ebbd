-- stamp: when a message is accepted, as it stands before its envelope: ms since 1970 in base 36, five bytes less than in base 10.
--
-- Keys: none.
-- include: clock
-- STAMP: with the space behind it. It begins with a letter (from 1994 to 2059), and a time in base 10 has none.
local STAMP
do
  local codes, first, rest = { 0, 0, 0, 0, 0, 0, 0, 0 }, 9, now
  repeat
    local digit = rest % 36
    first = first - 1
    codes[first] = digit < 10 and 48 + digit or 87 + digit
    rest = (rest - digit) / 36
  until rest == 0
  STAMP = string.char(unpack(codes, first, 8)) .. ' '
end
