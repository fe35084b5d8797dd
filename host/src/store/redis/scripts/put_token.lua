-- Keeps an access token.
--
-- ARGV[1]  its id
-- ARGV[2]  where it counts
-- ARGV[3]  when it expires, ms; 0 for never
-- ARGV[4]  its record
-- ARGV[5]  a new version of the whole
-- ARGV[6]  how many may count there
--
-- Returns 1, or 0 if there is no room.
local T, now, others = P .. 'tokens', now_ms(), 0
local all = call('HGETALL', T)
for i = 1, #all, 2 do
  local expires, reach = string.match(all[i + 1], '^(%d+):([^:]*):')
  if expires ~= '0' and tonumber(expires) <= now then
    call('HDEL', T, all[i])
  elseif reach == ARGV[2] and all[i] ~= ARGV[1] then
    others = others + 1
  end
end
call('HSET', P .. 'meta', 'tokens', ARGV[5])
if others >= tonumber(ARGV[6]) then
  return 0
end
call('HSET', T, ARGV[1], ARGV[3] .. ':' .. ARGV[2] .. ':' .. ARGV[4])
return 1
