-- Drops results that have expired.
--
-- ARGV[1]  how many at most
--
-- Returns how many.
local fields = call('ZRANGEBYSCORE', P .. 'expire', '-inf', now_ms(), 'LIMIT', 0, ARGV[1])
for _, field in ipairs(fields) do
  local E = P .. 'e:' .. field
  local mark = call('GETRANGE', E, 0, 8)
  if mark ~= '' then
    call('SET', E, call('GETRANGE', E, 0, 8 + tonumber(string.sub(mark, 2), 16)))
  end
end
many('ZREM', P .. 'expire', fields)
return #fields
