-- reports: of the earlier attempts of a message the first 5 and the last 20 are kept; those between them are counted.
--
-- Keys: history.
local FIRST_REPORTS, MOST_REPORTS = 5, 25
-- with_report(id, report): all reports of a message, and one more (without its newline). Those that were left out are the
-- sixth line: {"kind":"OMITTED","of":{"<kind>":<count>,...}}.
local function with_report(id, report)
  local lines = redis.call('HGET', keys.history, id) or ''
  local count, ends, at = 0, {}, string.find(lines, '\n', 1, true)
  while at do
    count = count + 1
    ends[count] = at
    at = string.find(lines, '\n', at + 1, true)
  end
  if count < MOST_REPORTS then return lines .. report .. '\n' end
  local kept, left_out = ends[FIRST_REPORTS], FIRST_REPORTS + 1
  local counts, order = {}, {}
  if count > MOST_REPORTS then
    for kind, n in string.gmatch(string.sub(lines, kept + 1, ends[left_out]), '"(%u+)":(%d+)') do
      counts[kind], order[#order + 1] = tonumber(n), kind
    end
    left_out = left_out + 1
  end
  local kind = string.match(string.sub(lines, ends[left_out - 1] + 1, ends[left_out]), '^{"kind": ?"(%u+)"') or 'OTHER'
  if not counts[kind] then order[#order + 1] = kind end
  counts[kind] = (counts[kind] or 0) + 1
  for i, one in ipairs(order) do order[i] = string.format('"%s":%.0f', one, counts[one]) end
  return string.sub(lines, 1, kept) .. '{"kind":"OMITTED","of":{' .. table.concat(order, ',') .. '}}\n'
    .. string.sub(lines, ends[left_out] + 1) .. report .. '\n'
end
