#!lua flags=allow-oom
-- delete_finished: delete the records of what finished before a time.
--
-- KEYS[1] finished     STREAM   keys.finished(hour, class)
-- KEYS[2..] records    STRING   keys.record(id) of every id of some entries of it, in their order; then
--          logs        HASH     keys.log(id) of each
-- ARGV[1] before_ms: what finished earlier goes
-- ARGV[2] known_ms: for how long after its finish an id stays known
-- ARGV[3..] per entry 2 values: its id, how many ids it holds; at most 100 ids in all, unless there is one entry
--
-- Returns {now ms, deleted}. An entry all of whose records are gone goes, too. A record younger than ARGV[2] becomes
--         "2 <finished ms> <outcome> <token>" and expires when it is as old: its id is known, and nothing else of it.
-- Budget: 100 ids, or one entry of the index with all of its ids.
-- Moves:  finished -> (nothing)
-- Role:   producer
-- Safe to repeat: yes. Clock: server.
-- include: clock
local before, known_ms = tonumber(args.before_ms), tonumber(args.known_ms)
local deleted, place, logs = 0, keys.more, (#KEYS - keys.more + 1) / 2
for at = args.more, #ARGV, 2 do
  local stays = false
  for record = place, place + tonumber(ARGV[at + 1]) - 1 do
    local version, ended, outcome = redis.call('GETRANGE', KEYS[record], 0, 255):match('^(%d+) (%d+) ?(%u* ?%S*)')
    if version == '0' then
      stays = true -- revoked before it came, and it may still come
    elseif version == '1' then
      local left = tonumber(ended) + known_ms - now
      if tonumber(ended) >= before then
        stays = true
      elseif left <= 0 then
        redis.call('DEL', KEYS[record], KEYS[record + logs])
        deleted = deleted + 1
      else
        redis.call('SET', KEYS[record], '2 ' .. ended .. ' ' .. outcome, 'PX', int(left))
        redis.call('DEL', KEYS[record + logs])
        deleted = deleted + 1
      end
    end
  end
  place = place + tonumber(ARGV[at + 1])
  if not stays then redis.call('XDEL', keys.finished, ARGV[at]) end
end
return { now, deleted }
