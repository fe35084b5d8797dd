-- Ends a job that waits, or asks the host that runs it to stop it.
--
-- ARGV[1]  namespace
-- ARGV[2]  id
-- ARGV[3]  member
-- ARGV[4]  the attempts behind it, as the end to record was made of, or ''
-- ARGV[5]  the end to record
--
-- Returns `ended` (it had), `changed` (look again), `done` or `requested`.
local N, id, member = space(ARGV[1]), ARGV[2], ARGV[3]
local field = ARGV[1] .. '/' .. id
if call('EXISTS', P .. 'e:' .. field) == 1 then
  return 'ended'
end
if (call('HGET', N .. 'a', id) or '') ~= ARGV[4] then
  return 'changed'
end
if not remove(N, member) then
  if call('SADD', P .. 'stop', field) == 1 then
    tell('s', field)
  end
  return 'requested'
end
call('SET', P .. 'e:' .. field, ARGV[5])
call('HDEL', N .. 'a', id)
call('UNLINK', P .. 'h:' .. field)
call('HINCRBY', N .. 'meta', 'cancelled', 1)
tell('e', field)
return 'done'
