-- Ends jobs that a mover holds, or gives back all that any mover holds.
--
-- ARGV[1]  namespace
-- ARGV[2]  mover; '' for all, which are given back
-- then for each job: id; the end to record: of what was moved, or of what somebody
--   has cancelled meanwhile
--
-- Returns how many were held.
local ns, mover = ARGV[1], ARGV[2]
local N, slash = space(ns), ARGV[1] .. '/'
local done, ended, ready, later, outbox = 0, {}, {}, {}, {}
for i = 3, #ARGV, 2 do
  local id, field = ARGV[i], slash .. ARGV[i]
  local by, due, member = string.match(call('HGET', N .. 'm', id) or '', '^([^:]*):(%d+):(.*)$')
  if by and (mover == '' or by == mover) then
    done = done + 1
    call('HDEL', N .. 'm', id)
    local stop = call('SREM', P .. 'stop', field) == 1
    if mover ~= '' or stop then
      ended[#ended + 1] = field
      -- The callback of what was moved has gone with it.
      if mover == '' and calls_back(member) then
        outbox[#outbox + 1] = now_ms()
        outbox[#outbox + 1] = field
      end
      call('SET', P .. 'e:' .. field, (stop and '1' or '0') .. string.sub(ARGV[i + 1], 2))
      call('HDEL', N .. 'a', id)
      call('UNLINK', P .. 'h:' .. field)
    else
      if due == '0' then
        ready[#ready + 1] = member
      else
        later[#later + 1] = due
        later[#later + 1] = member
      end
    end
  end
end
enqueue(ns, ready)
delay(ns, later)
if #ended > 0 then
  call('HINCRBY', N .. 'meta', 'cancelled', #ended)
  tell('e', table.concat(ended, ' '))
end
call_back(outbox)
return done
