-- Lets so many jobs of a namespace run at once.
--
-- ARGV[1]  namespace
-- ARGV[2]  how many, or 0 for as many as like
local ns = ARGV[1]
local N = space(ns)
even_if_full()
call('SADD', P .. 'ns', ns)
if ARGV[2] == '0' then
  call('HDEL', N .. 'meta', 'limit')
else
  call('HSET', N .. 'meta', 'limit', ARGV[2])
end
if has_waiting(N) then
  activate(ns)
end
