-- task_of: the name of a message's task, as far as a server can read it.
--
-- Keys: none.
-- packed_text(blob, at): the text of msgpack that begins there, and where it ends; nil if there is none.
local function packed_text(blob, at)
  local head, size = string.byte(blob, at, at + 1)
  if not head or not size then return nil end
  if head >= 160 and head <= 191 then return blob:sub(at + 1, at + head - 160), at + head - 160 end
  if head == 217 then return blob:sub(at + 2, at + 1 + size), at + 1 + size end
end
-- task_of(blob): what stands in `messages`. nil if the envelope is compressed, encrypted, pickled, or none of ours.
local function task_of(blob)
  local at = (string.find(blob, ' ', 1, true) or 0) + 1
  if blob:sub(at, at + 1) == 'S1' then at = at + 38 end -- signed: behind the id of the key, and the signature
  local task = blob:match('^~?{"v":2,"t":"([^"]*)"', at) or blob:match('^~?{"v":1,"id":"[^"]*","t":"([^"]*)"', at)
  if task then return task end
  local _, last = string.find(blob, '^M[^\161]*\161v\2', at)
  if not last then -- version 1: the id comes first
    local _, before_id = string.find(blob, '^M[^\161]*\161v\1\162id', at)
    _, last = packed_text(blob, (before_id or #blob) + 1)
  end
  if last and blob:sub(last + 1, last + 2) == '\161t' then return (packed_text(blob, last + 3)) end
end
