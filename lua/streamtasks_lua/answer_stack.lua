#!lua
-- answer_stack: keep the answer to a question for the stacks of a task for a minute.
--
-- KEYS[1] stack        STRING   keys.stack(id)
-- ARGV[1] nonce: of the question
-- ARGV[2] answer: JSON
--
-- Returns {1}.
-- Budget: one task.
-- Moves:  nothing
-- Role:   worker
-- Safe to repeat: yes. Clock: none.
redis.call('SET', keys.stack, args.nonce .. ' ' .. args.answer, 'PX', 60000)
return { 1 }
