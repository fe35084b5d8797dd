-- Renews the lease on all that an incarnation holds.
--
-- ARGV[1]  incarnation
-- ARGV[2]  lease, ms
--
-- Returns 1, or 0 if the lease has ended.
if not call('ZSCORE', P .. 'hosts', ARGV[1]) then
  return 0
end
even_if_full()
call('ZADD', P .. 'hosts', now_ms() + ARGV[2], ARGV[1])
return 1
