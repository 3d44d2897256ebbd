-- missing: names of streams that a step needs and its call did not bring; the caller sends it again with them.
--
-- missing: the names, each once; what comes to a name that stands there is done by the next call.
-- Keys: ready, streams, wake, paused, paused_ready.
-- include: streams
local missing = {}
-- brought(name): whether the call brought this stream; if not, it is missed.
local function brought(name)
  if by_name[name] then return true end
  if not missing[name] then
    missing[name] = true
    missing[#missing + 1] = name
  end
  return false
end
