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
local victim = call('ZRANGEBYSCORE', P .. 'hosts', '-inf', int(now), 'LIMIT', 0, 1)[1]
if not victim then
  return { 0 }
end
local answer = call('HRANDFIELD', P .. 'w:' .. victim, ARGV[3], 'WITHVALUES')
if #answer > 0 then
  local fields = {}
  for i = 1, #answer, 2 do
    fields[#fields + 1] = answer[i]
  end
  call('ZADD', P .. 'hosts', int(now + ARGV[2]), reaper)
  many('HSET', P .. 'w:' .. reaper, answer)
  many('HDEL', P .. 'w:' .. victim, fields)
end
if call('EXISTS', P .. 'w:' .. victim) == 0 then
  call('ZREM', P .. 'hosts', victim)
  tell('l', victim)
  call('UNLINK', P .. 's:' .. victim, P .. 'g:' .. victim)
end
table.insert(answer, 1, 1)
return answer
