-- Ends an incarnation that holds nothing; one that does is left to the reaper.
--
-- ARGV[1]  incarnation
local W = P .. 'w:' .. ARGV[1]
if call('HLEN', W) <= call('HEXISTS', W, '') then
  call('ZREM', P .. 'hosts', ARGV[1])
  call('UNLINK', W, P .. 's:' .. ARGV[1], P .. 'g:' .. ARGV[1])
end
