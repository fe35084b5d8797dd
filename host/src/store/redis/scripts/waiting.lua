-- Jobs that wait, in the order of their ids: to look at, or to hold for a mover.
--
-- ARGV[1]  namespace
-- ARGV[2]  after this id
-- ARGV[3]  up to this id
-- ARGV[4]  how many at most
-- ARGV[5]  how many bytes of messages at most, unless the first has more; '' for the
--          heads alone
-- ARGV[6]  the mover that is to hold them; it gets those first that it holds from
--          before; '' to look only
--
-- Returns {member, when it is due in ms or 0, record, past attempts or '', ..}
local ns = ARGV[1]
local after, upto = tonumber(ARGV[2]), tonumber(ARGV[3])
local most, bytes, mover = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
local N, prefix, answer = space(ns), P .. 'j:' .. ns .. '/', {}
local taken, full = 0, false

-- Adds a job to the answer; `false` if there is no room for it.
local function put(member, due)
  if taken == most then
    full = true
    return false
  end
  local id = id_of(member)
  local J = prefix .. id
  local front = call('GETRANGE', J, 0, 22)
  local head = tonumber(string.sub(front, 16), 16) or 0
  local record
  if bytes then
    local size = math.max(call('STRLEN', J) - 23 - head, 0)
    if taken > 0 and size > bytes then
      full = true
      return false
    end
    bytes = bytes - size
    record = call('GET', J) or ''
  else
    record = call('GETRANGE', J, 0, 22 + head)
  end
  taken = taken + 1
  answer[#answer + 1] = member
  answer[#answer + 1] = due
  answer[#answer + 1] = record
  answer[#answer + 1] = call('GET', P .. 'h:' .. ns .. '/' .. id) or ''
  return true
end

if mover ~= '' then
  local mine, all = {}, call('HGETALL', N .. 'm')
  for i = 1, #all, 2 do
    local by, due, member = string.match(all[i + 1], '^([^:]*):(%d+):(.*)$')
    if by == mover then
      mine[#mine + 1] = { tonumber(all[i]), member, due }
    end
  end
  table.sort(mine, function(a, b) return a[1] < b[1] end)
  for _, job in ipairs(mine) do
    if not put(job[2], job[3]) then
      break
    end
  end
end
if not full and taken < most then
  local found = {}
  for _, set in ipairs({ 'q0', 'q1', 'q2', 'q3', 'i0', 'i1', 'i2', 'i3', 'g', 't' }) do
    -- A run may have begun before.
    local members = call('ZREVRANGEBYSCORE', N .. set, ARGV[2], '-inf', 'LIMIT', 0, 1)
    for _, member in ipairs(call('ZRANGEBYSCORE', N .. set, '(' .. ARGV[2], ARGV[3], 'LIMIT', 0, most)) do
      members[#members + 1] = member
    end
    local left = most
    for _, member in ipairs(members) do
      local first, last, rank = span_of(member)
      first = math.max(first, after + 1)
      last = math.min(last, upto, first + left - 1)
      for id = first, last do
        found[#found + 1] = { id, run_of(id, id, rank), set }
        left = left - 1
      end
    end
  end
  table.sort(found, function(a, b) return a[1] < b[1] end)
  for _, job in ipairs(found) do
    local member, set = job[2], job[3]
    local due = set == 't' and call('ZSCORE', N .. 'd', member) or '0'
    if not put(member, due) then
      break
    end
    if mover ~= '' then
      call('HDEL', N .. 'since', job[1])
      if set == 'g' then
        ungate(N, member)
      elseif call('ZREM', N .. set, member) == 0 then
        leave_run(N, member)
      else
        call('ZREM', N .. 'd', member)
      end
      call('HSET', N .. 'm', job[1], mover .. ':' .. due .. ':' .. member)
    end
  end
end
return answer
