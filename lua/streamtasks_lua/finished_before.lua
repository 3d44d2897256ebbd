#!lua flags=no-writes
-- finished_before: the newest entries of indexes of what finished, before a time.
--
-- KEYS[1..] indexes    STREAM   keys.finished(hour, class), of one shard
-- ARGV[1] before_ms: only entries before this ms
-- ARGV[2] most: entries of each index, at most 100
--
-- Returns per index {entry id, {"<outcome> <stream name>", "<id> <id>...", ...}, ...}, newest first.
-- Budget: 26 indexes, 100 entries of each; each may hold 100 ids.
-- Moves:  nothing
-- Role:   monitor
-- Safe to repeat: yes. Clock: none.
local reply = {}
for place = keys.more, #KEYS do
  reply[#reply + 1] = redis.call('XREVRANGE', KEYS[place], '(' .. args.before_ms .. '-0', '-', 'COUNT', args.most)
end
return reply
