-- held: whether a token holds a message.
--
-- Keys: none.
local find, byte = string.find, string.byte
-- held_by(line, prefix): whether the line says so; `prefix` is the token and a space.
local function held_by(line, prefix)
  if not line or find(line, prefix, 1, true) ~= 1 then return false end
  local phase = byte(line, #prefix + 1)
  return phase == 67 or phase == 82 or phase == 88 -- C, R, X
end
