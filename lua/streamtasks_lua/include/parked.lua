-- parked: entries of a stream that were put aside for consumers like "suspect" and "returned", whom nobody is.
--
-- Keys: none.
-- include: group
-- parked(key, who, wanted): the ids of the oldest entries of that consumer, at most so many.
local function parked(key, who, wanted)
  local pending = redis.pcall('XPENDING', key, GROUP, '-', '+', wanted, who)
  if pending.err then
    -- Only the group is missing? A user who may not ask gets the error that says so.
    if not pending.err:find('NOGROUP', 1, true) then redis.call('XPENDING', key, GROUP, '-', '+', wanted, who) end
    redis.call('XGROUP', 'CREATE', key, GROUP, '0', 'MKSTREAM')
    return {}
  end
  local entry_ids = {}
  for i, row in ipairs(pending) do entry_ids[i] = row[1] end
  return entry_ids
end

-- park(key, who, entries): put entries that a claim has read aside for such a consumer.
local function park(key, who, entries)
  local words = { key, GROUP, who, 0, unpack(entries) }
  words[#words + 1] = 'JUSTID'
  redis.call('XCLAIM', unpack(words))
end
