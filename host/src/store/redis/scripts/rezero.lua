-- Begins the totals of a queue again at 0.
--
-- ARGV[1]  namespace
local meta = space(ARGV[1]) .. 'meta'
for _, total in ipairs({ 'posted', 'completed', 'failed', 'cancelled' }) do
  local value = call('HGET', meta, total)
  if value then
    call('HSET', meta, '0:' .. total, value)
  end
end
