-- Lets nobody take a namespace's jobs, or lets them again.
--
-- ARGV[1]  namespace
-- ARGV[2]  1 to pause, 0 to resume
local ns = ARGV[1]
local N = space(ns)
even_if_full()
call('SADD', P .. 'ns', ns)
if ARGV[2] == '1' then
  call('HSET', N .. 'meta', 'paused', '1')
  rest(ns, tonumber(call('HGET', N .. 'meta', 'used') or 0))
else
  call('HDEL', N .. 'meta', 'paused')
  if has_waiting(N) then
    activate(ns)
  end
end
