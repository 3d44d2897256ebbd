"""A script that fails when it touches a key which it did not declare."""

from __future__ import annotations

# Stands in front of a script: every command's key must be one of KEYS. Only the channels of finished ids are made
# up inside, sixteen to one declared name.
_WATCH = """
local redis_itself = redis
local declared = {}
for _, key in ipairs(KEYS) do declared[key] = true end
local function watched(name, arguments)
  local key = arguments[1]
  if name == 'XREADGROUP' then
    for i, word in ipairs(arguments) do if word == 'STREAMS' then key = arguments[i + 1] end end
  elseif name == 'XGROUP' or name == 'XINFO' then
    key = arguments[2]
  elseif name == 'SPUBLISH' then
    key = key:gsub(':%x$', '')
    if not declared[key] then key = arguments[1] end
  end
  if name ~= 'TIME' and not declared[key] then error(name .. ' of a key that is not declared: ' .. tostring(key)) end
end
local redis = {
  call = function(name, ...) watched(name, { ... }) return redis_itself.call(name, ...) end,
  pcall = function(name, ...) watched(name, { ... }) return redis_itself.pcall(name, ...) end,
  sha1hex = redis_itself.sha1hex,
  error_reply = redis_itself.error_reply,
}
"""


def checked_source(source: str) -> str:
    """Return a script's text, with the check that it touches only declared keys."""
    first, _, rest = source.partition("\n")
    return f"{first}\n{_WATCH}{rest}"
