-- accept: take a message in, once by its id.
--
-- Keys: messages, state, links, delayed, control, waiting, limits, asking, ready, streams, wake, paused, paused_ready, waits, events, watchers.
-- include: stamp, streams, events
local ZEROS = { ['hears=1'] = '0', ['hears=0'] = '00' } -- see include/heard.lua
local place_new_made
-- accept(record, name, id, terms, parent, envelope): 1 accepted; 2 accepted, but it was revoked before it came (its record
-- was a tombstone, "0 ..."): the child that claims it only settles it as that, if no revoke comes first; 0 it is known.
-- `terms`, `parent`: see include/terms.lua.
local function accept(record, name, id, terms, parent, envelope)
  local code = 1
  if call('EXISTS', record) == 1 then
    if redis.call('GETRANGE', record, 0, 1) ~= '0 ' then return 0 end
    code = 2
  end
  local zeros = terms ~= '' and ZEROS[string.sub(terms, 1, 7)]
  if call('HSETNX', keys.messages, id, (zeros or '') .. STAMP .. envelope) == 0 then return 0 end
  if noted then note('accepted', id, name) end
  if code == 1 and (terms == '' or (zeros and #terms == 7)) then
    append(name, id)
    return 1
  end
  if code == 2 then redis.call('DEL', record) end
  if not place_new_made then
    -- include: terms
    place_new_made = place_new
  end
  place_new_made(name, id, terms, parent, code == 2)
  return code
end
