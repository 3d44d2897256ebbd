-- channel: sixteen channels stand behind one name, so that a listener hears a part of the ids.
--
-- Keys: none.
local byte = string.byte
-- bucket_of(id): which one, 0 to 15: the low four bits of its 32nd character, or of its last.
local function bucket_of(id)
  return (byte(id, 32) or byte(id, -1)) % 16
end
-- publish(channel, id): publish an id on its channel of a name.
local function publish(channel, id)
  redis.call('SPUBLISH', channel .. ':' .. string.format('%x', bucket_of(id)), id)
end
