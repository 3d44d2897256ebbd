-- revoked: the record of a message that was revoked.
--
-- Keys: none.
-- revoked_record(token, first, started, attempts, body): without its first two words and the reports; `token`: who had
-- the message, "-" if nobody.
local function revoked_record(token, first, started, attempts, body)
  return string.format('REVOKED %s %s %s %s %d 0\n', token, first, started, attempts, #body) .. body
end
