#!lua
-- stack: ask the worker that runs a task for its stacks, and return its answer.
--
-- KEYS[1] state        HASH     keys.state
-- KEYS[2] control      CHANNEL  keys.control
-- KEYS[3] stack        STRING   keys.stack(id)
-- ARGV[1] id: of the task
-- ARGV[2] nonce: of this question; no spaces
-- ARGV[3] ask: 1: tell the workers, 0: only look
--
-- Returns {1, answer, "" if there is none yet}; {0, ""}: no attempt of it is known to run. Workers are told "stack <id> <nonce>".
-- Budget: one task.
-- Moves:  nothing
-- Role:   producer
-- Safe to repeat: yes. Clock: none.
-- include: line
local answer = redis.call('GET', keys.stack)
if answer and string.find(answer, args.nonce .. ' ', 1, true) == 1 then
  return { 1, string.sub(answer, #args.nonce + 2) }
end
local line = redis.call('HGET', keys.state, args.id)
local s = line and parse(line)
if not s or s.token == '-' then return { 0, '' } end
if args.ask == '1' then redis.call('SPUBLISH', keys.control, 'stack ' .. args.id .. ' ' .. args.nonce) end
return { 1, '' }
