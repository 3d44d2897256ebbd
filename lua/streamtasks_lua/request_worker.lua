#!lua flags=allow-oom
-- request_worker: leave a request for a worker, which takes it with its next beat; tell it to beat now.
--
-- KEYS[1] workers      ZSET     keys.workers
-- KEYS[2] worker_requests HASH  keys.worker_requests
-- KEYS[3] control      CHANNEL  keys.control
-- ARGV[1] worker: its name
-- ARGV[2] request: "drain" or "stop"
--
-- Returns 1 if the worker is registered, else 0: nothing was left.
-- Budget: one worker.
-- Moves:  nothing
-- Role:   producer
-- Safe to repeat: yes, the later request counts. Clock: none.
if not redis.call('ZSCORE', keys.workers, args.worker) then return 0 end
redis.call('HSET', keys.worker_requests, args.worker, args.request)
redis.call('SPUBLISH', keys.control, 'worker ' .. args.worker)
return 1
