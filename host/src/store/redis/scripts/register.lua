-- Begins an incarnation, and puts back what was set aside.
--
-- ARGV[1]  incarnation
-- ARGV[2]  lease, ms
call('ZADD', P .. 'hosts', now_ms() + ARGV[2], ARGV[1])
call('HSET', P .. 'w:' .. ARGV[1], '', string.rep('.', 65))
for _, ns in ipairs(call('SMEMBERS', P .. 'ns')) do
  local q, aside = space(ns) .. 'q', space(ns) .. 'aside'
  if call('EXISTS', aside) == 1 then
    call('ZUNIONSTORE', q, 2, q, aside)
    call('UNLINK', aside)
    activate(ns)
  end
end
