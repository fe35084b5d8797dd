-- Ends a job that waits, or asks the host that runs it to stop it.
--
-- ARGV[1]  namespace
-- ARGV[2]  id
-- ARGV[3]  its past attempts as the end to record was made of them, or ''
-- ARGV[4]  the end to record
--
-- Returns `unknown`, `ended` (it had), `changed` (look again), `done`, `called` (done, and
-- somebody is to be called back), or `requested`.
local N, id = space(ARGV[1]), ARGV[2]
local field = ARGV[1] .. '/' .. id
local rank = call('GETRANGE', P .. 'j:' .. field, 13, 14)
if rank == '' then
  return 'unknown'
end
if call('EXISTS', P .. 'e:' .. field) == 1 then
  return 'ended'
end
if (call('GET', P .. 'h:' .. field) or '') ~= ARGV[3] then
  return 'changed'
end
if not remove(N, id .. ':' .. rank) then
  if call('SADD', P .. 'stop', field) == 1 then
    tell('s', field)
  end
  return 'requested'
end
call('SET', P .. 'e:' .. field, ARGV[4])
call('HDEL', N .. 'a', id)
call('UNLINK', P .. 'h:' .. field)
call('HINCRBY', N .. 'meta', 'cancelled', 1)
tell('e', field)
if calls_back(rank) then
  call_back({ now_ms(), field })
  return 'called'
end
return 'done'
