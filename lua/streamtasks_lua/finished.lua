#!lua flags=no-writes
-- finished: a page of the indexes of what finished in one hour, oldest first.
--
-- KEYS[1..] indexes    STREAM   keys.finished(hour, class), one per retention class
-- ARGV[1] after: only entries after this entry id; "": from the first
-- ARGV[2] after_index: number of the index of that entry, from 1; entries with the same id in later ones are still wanted
-- ARGV[3] most: how many entries at most, at most 100; each may hold 100 ids
--
-- Returns {number of its index, entry id, {"<outcome> <stream name>", "<id> <id>...", ...}} per entry, by entry id, then by
--         index. The last one's number and id are the cursor of the next page.
-- Budget: 100 entries of 100 ids, and 10 more of each of 13 indexes.
-- Moves:  nothing
-- Role:   monitor
-- Safe to repeat: yes. Clock: none.
local AT_ONCE = 10
local after, most, sources, page = args.after, tonumber(args.most), {}, {}
for place = keys.more, #KEYS do
  local number = place - keys.more + 1
  local from = after == '' and '-' or (number <= tonumber(args.after_index) and '(' or '') .. after
  sources[number] = { key = KEYS[place], from = from, at = 1, entries = {}, is_over = false }
end
while #page < most do
  local best, best_ms, best_number
  for place, source in ipairs(sources) do
    if source.at > #source.entries and not source.is_over then
      source.entries, source.at = redis.call('XRANGE', source.key, source.from, '+', 'COUNT', AT_ONCE), 1
      source.is_over = #source.entries < AT_ONCE
      if not source.is_over then source.from = '(' .. source.entries[AT_ONCE][1] end
    end
    local entry = source.entries[source.at]
    if entry then
      local ms, number = entry[1]:match('^(%d+)-(%d+)$')
      ms, number = tonumber(ms), tonumber(number)
      if not best or ms < best_ms or (ms == best_ms and number < best_number) then
        best, best_ms, best_number = place, ms, number
      end
    end
  end
  if not best then break end
  local source = sources[best]
  page[#page + 1] = { best, source.entries[source.at][1], source.entries[source.at][2] }
  source.at = source.at + 1
end
return page
