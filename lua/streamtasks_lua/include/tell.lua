-- Tell an id on one of the sixteen channels of a name: low four bits of its 32nd character, or of its last.
local function bucket_of(id)
  return (string.byte(id, 32) or string.byte(id, -1)) % 16
end
local function tell(channel, id)
  redis.call('SPUBLISH', channel .. ':' .. string.format('%x', bucket_of(id)), id)
end
