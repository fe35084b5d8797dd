-- Lets nobody take a namespace's jobs, or lets them again.
--
-- ARGV[1]  namespace
-- ARGV[2]  1 to pause, 0 to resume
local ns = ARGV[1]
call('SADD', P .. 'ns', ns)
if ARGV[2] == '1' then
  call('HSET', space(ns) .. 'meta', 'paused', '1')
  call('ZREM', P .. 'active', ns)
else
  call('HDEL', space(ns) .. 'meta', 'paused')
  if queues('q', space(ns)) > 0 then
    activate(ns)
  end
end
