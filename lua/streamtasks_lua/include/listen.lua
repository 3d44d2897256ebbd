-- listen: let wakes be published, for workers that listen instead of waiting on lists; see `wake`.
--
-- Keys: none.
-- publish_next(list): the next wake of this list is published.
local function publish_next(list)
  redis.call('DEL', list)
  redis.call('RPUSH', list, '1', '1')
end
