#!lua flags=allow-oom
-- audit: note what somebody changed, and why; the oldest entries go.
--
-- KEYS[1] audit        STREAM   keys.audit
-- KEYS[2] audit_counts ZSET     keys.audit_counts
-- ARGV[1] nonce: of this entry
-- ARGV[2] entry: JSON: operation, target, actor, reason
-- ARGV[3] most: entries that are kept
-- ARGV[4] counted_as: "<outcome> <operation>"
--
-- Returns {now ms, 1 written, 0 it was there already}.
-- Budget: one entry, and 16 that are compared with it.
-- Moves:  nothing
-- Role:   producer
-- Safe to repeat: yes, by nonce, until 16 others have come. Clock: server.
-- include: clock
for _, entry in ipairs(redis.call('XREVRANGE', keys.audit, '+', '-', 'COUNT', 16)) do
  if entry[2][2] == args.nonce then return { now, 0 } end
end
redis.call('XADD', keys.audit, 'MAXLEN', args.most, '*', 'nonce', args.nonce, 'entry', args.entry)
redis.call('ZINCRBY', keys.audit_counts, 1, args.counted_as)
return { now, 1 }
