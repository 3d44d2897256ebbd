-- repeated_claim: the same sequence again: the reply was lost, or the claim was given up in this child's name.
--
-- It is no function: to make one would cost each claim.
-- Keys: last_claim, batches, state, messages.
-- Needs: token, sequence, now, lines.
-- repeated: the whole reply of a claim that is repeated; nil if it is not.
local repeated
local last = redis.call('GET', keys.last_claim)
if last then
  local last_sequence, kind = last:match('^(%d+) (%l+)$')
  if tonumber(last_sequence) > sequence or (tonumber(last_sequence) == sequence and kind == 'void') then
    repeated = { 'void', now }
  elseif tonumber(last_sequence) == sequence then
    repeated = { 'ok', now, 0 }
    local of, past = {}, lines()
    for id in (redis.call('HGET', keys.batches, token) or ''):gmatch(' (%S+)') do
      local line = redis.call('HGET', keys.state, id)
      local message = redis.call('HGET', keys.messages, id)
      if message and past.held_by(line, token .. ' ') then
        local s = past.parse(line)
        if not of[s.name] then
          of[s.name] = { {}, {} }
          for _, value in ipairs({ s.name, unpack(of[s.name]) }) do repeated[#repeated + 1] = value end
        end
        local list, counts = unpack(of[s.name])
        for _, value in ipairs({ s.entry, id, message }) do list[#list + 1] = value end
        counts[#counts + 1] = #list / 3
        counts[#counts + 1] = past.counts_of(s)
        repeated[3] = kind == 'alone' and 8 or 0
      end
    end
  end
end
