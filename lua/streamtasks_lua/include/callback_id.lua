-- callback_id: tell callback messages from those of users.
--
-- Keys: none.
-- is_callback(id): whether it is the id of a callback message, "cb." and 40 hexadecimal digits.
local function is_callback(id)
  return #id == 43 and string.find(id, '^cb%.%x+$') ~= nil
end
