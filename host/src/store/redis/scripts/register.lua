-- Begins an incarnation, and puts back what was set aside.
--
-- ARGV[1]  incarnation
-- ARGV[2]  lease, ms
call('ZADD', P .. 'hosts', now_ms() + ARGV[2], ARGV[1])
call('HSET', P .. 'w:' .. ARGV[1], '', string.rep('.', 65))
for _, ns in ipairs(call('SMEMBERS', P .. 'ns')) do
  local aside = space(ns) .. 'aside'
  enqueue(ns, call('ZRANGE', aside, 0, -1))
  call('UNLINK', aside)
end
