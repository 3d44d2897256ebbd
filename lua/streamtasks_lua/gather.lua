#!lua flags=no-writes
-- gather: results of a workflow's nodes, as those that follow them get them.
--
-- KEYS[1] workflow     HASH     keys.workflow(id)
-- ARGV[1] field: "v<node>", or "r<fan-in>" for all of its members in order
-- ARGV[2] place: of the first member wanted
-- ARGV[3] most_bytes: size of the reply
--
-- Returns {members, content...}: how many there are in all (1 for a node), then from that place on as many as fit, at
--         least one: of a node its result; of a member "<outcome> <id>\n<result>", with "-" before it if it came too
--         late to count, "" if it is not known.
-- Budget: 1000 results, 512 KiB of them and one more.
-- Moves:  nothing
-- Role:   monitor
-- Safe to repeat: yes. Clock: none.
local field, from, most = args.field, tonumber(args.place), tonumber(args.most_bytes)
if field:sub(1, 1) == 'v' then return { 1, redis.call('HGET', keys.workflow, field) or '' } end
local members = tonumber((redis.call('HGET', keys.workflow, 'g' .. field:sub(2)) or '0'):match('^%d+'))
local reply, size, place = { members }, 0, from
while place < members and size <= most and place < from + 1000 do
  local names = {}
  for at = place, math.min(place + 99, members - 1, from + 999) do names[#names + 1] = field .. '.' .. at end
  for _, content in ipairs(redis.call('HMGET', keys.workflow, unpack(names))) do
    if size > most then break end
    reply[#reply + 1] = content or ''
    size = size + (content and #content or 0)
    place = place + 1
  end
end
return reply
