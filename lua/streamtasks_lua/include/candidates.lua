-- candidates: the ready streams that a child may claim from, best first.
--
-- Those of the first priority take turns, however many there are.
-- It is no function: to make one would cost each claim a microsecond.
-- Keys: ready.
-- Needs: sequence, filter_mode, filter_count.
local MOST_CANDIDATES, MOST_LOOKED_UP = 16, 8
-- order: at most MOST_CANDIDATES streams of the queues that the child serves, in the order of their turns; any_ready: whether
-- any stream is ready; last_of_many: the worst stream that was looked at, if there may be more behind it.
local order, any_ready, last_of_many = {}, false, nil
do
  local named = {}
  for i = 1, filter_count do named[ARGV[args.more - 1 + i]] = true end
  local best, top, tier, start = {}, nil, 0, sequence
  local page = redis.call('ZREVRANGE', keys.ready, 0, 63)
  local is_large = #page == 64
  any_ready = #page > 0
  local wanted = MOST_CANDIDATES + (filter_mode == 'except' and filter_count or 0)
  if is_large and filter_mode ~= 'only' then
    top = page[1]:match('^(-?%d+):')
    tier = redis.call('ZCOUNT', keys.ready, top, top)
  end
  if tier > 48 + wanted then
    -- Only those whose turn it is are read: an excluded queue has at most one stream among them.
    local first = sequence % tier
    local turns = redis.call('ZREVRANGE', keys.ready, first, math.min(first + wanted, tier) - 1)
    if #turns < wanted then
      for _, name in ipairs(redis.call('ZREVRANGE', keys.ready, 0, wanted - 1 - #turns)) do turns[#turns + 1] = name end
    end
    for _, name in ipairs(turns) do
      if #best < MOST_CANDIDATES and not named[name:match('^%-?%d+:(.*)$')] then best[#best + 1] = name end
    end
    tier, start = MOST_CANDIDATES, 0
  else
    if is_large and filter_mode == 'only' and filter_count <= MOST_LOOKED_UP then
      -- Among many it is quicker to ask for the streams that there may be of the few queues.
      page = {}
      for i = 1, filter_count do
        local names = {}
        for priority = -100, 100 do names[priority + 101] = priority .. ':' .. ARGV[args.more - 1 + i] end
        for place, score in ipairs(redis.call('ZMSCORE', keys.ready, unpack(names))) do
          if score then page[#page + 1] = names[place] end
        end
      end
      table.sort(page, function(one, other)
        local p, q = tonumber(one:match('^(-?%d+):')), tonumber(other:match('^(-?%d+):'))
        return p > q or (p == q and one > other)
      end)
      is_large = false
    end
    tier = 0
    local from = 0
    local full = false
    while true do
      for _, name in ipairs(page) do
        if not full
          and (filter_mode == 'all' or (named[name:match('^%-?%d+:(.*)$')] == true) == (filter_mode == 'only')) then
          local priority = name:match('^(-?%d+):')
          top = top or priority
          if priority == top then
            tier = tier + 1
            best[#best + 1] = name
          elseif #best < MOST_CANDIDATES then
            best[#best + 1] = name
          else
            full = true
          end
        end
      end
      if full or not is_large or #page < 64 then break end
      from = from + 64
      page = redis.call('ZREVRANGE', keys.ready, from, from + 63)
    end
  end
  for i = 0, math.min(tier, MOST_CANDIDATES) - 1 do order[#order + 1] = best[1 + (start + i) % tier] end
  for i = tier + 1, math.min(#best, MOST_CANDIDATES) do order[#order + 1] = best[i] end
  if #best >= MOST_CANDIDATES then last_of_many = best[#best] end
end
