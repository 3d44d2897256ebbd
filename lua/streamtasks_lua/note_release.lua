#!lua
-- note_release: note that workers of a project have another release than the last of them that started.
--
-- KEYS[1] releases     LIST     keys.releases
-- ARGV[1] project: whose workers
-- ARGV[2] release: what they run
--
-- Returns {1} noted, or {0}: it is the latest.
-- Budget: one release; 200 are kept.
-- Moves:  nothing
-- Role:   worker
-- Safe to repeat: yes. Clock: server.
-- include: clock
for _, known in ipairs(redis.call('LRANGE', keys.releases, 0, -1)) do
  local project, release = string.match(known, '^%d+ ([^%z]*)%z(.*)$')
  if project == args.project then
    if release == args.release then return { 0 } end
    break
  end
end
redis.call('LPUSH', keys.releases, int(now) .. ' ' .. args.project .. '\0' .. args.release)
redis.call('LTRIM', keys.releases, 0, 199)
return { 1 }
