-- Ends an incarnation that holds nothing; one that does is left to the reaper.
--
-- ARGV[1]  incarnation
if call('EXISTS', P .. 'w:' .. ARGV[1]) == 0 then
  call('ZREM', P .. 'hosts', ARGV[1])
  call('UNLINK', P .. 's:' .. ARGV[1], P .. 'g:' .. ARGV[1])
end
