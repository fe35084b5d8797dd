-- Takes over jobs of an incarnation whose lease has ended: from now on the reaper, an
-- incarnation of its own, holds them. If it dies too, the next one takes over.
--
-- ARGV[1]  the reaper's incarnation
-- ARGV[2]  its lease, ms
-- ARGV[3]  how many jobs at most
--
-- Returns {whether there may be more, `ns/id`, value, `ns/id`, value, ..}
local now = now_ms()
local reaper = ARGV[1]
-- It must not be its own victim, however slow it is.
if call('ZSCORE', P .. 'hosts', reaper) then
  call('ZADD', P .. 'hosts', now + ARGV[2], reaper)
end
local victim = call('ZRANGEBYSCORE', P .. 'hosts', '-inf', now, 'LIMIT', 0, 1)[1]
if not victim then
  return { 0 }
end
local W = P .. 'w:' .. victim
call('HDEL', W, '')
local answer = call('HRANDFIELD', W, ARGV[3], 'WITHVALUES')
if #answer > 0 then
  local fields = {}
  for i = 1, #answer, 2 do
    fields[#fields + 1] = answer[i]
  end
  call('ZADD', P .. 'hosts', now + ARGV[2], reaper)
  many('HSET', P .. 'w:' .. reaper, answer)
  many('HDEL', W, fields)
  silence(victim, fields)
  unpark(fields)
end
if call('EXISTS', W) == 0 then
  call('ZREM', P .. 'hosts', victim)
  call('UNLINK', P .. 's:' .. victim, P .. 'g:' .. victim)
  tell('l', victim)
end
table.insert(answer, 1, 1)
return answer
