-- group: the name of the consumer group of every stream.
--
-- Keys: none.
local GROUP = 'workers'
