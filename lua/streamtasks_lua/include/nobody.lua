-- nobody: consumers that do not exist, to whom entries are put aside: "returned", "suspect", and "paused:<task>".
--
-- Keys: none.
-- is_nobody(consumer): whether it is one of these names.
local function is_nobody(consumer)
  return consumer == 'returned' or consumer == 'suspect' or consumer:sub(1, 7) == 'paused:'
end
