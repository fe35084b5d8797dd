-- Notes that a running job waits for others, and looks at those.
--
-- ARGV[1]  incarnation; '' to look only
-- ARGV[2]  namespace
-- ARGV[3]  id of the job that waits
-- ARGV[4]  its attempt
-- ARGV[5]  the number of the wait
-- ARGV[6]  1 if the wait begins, 0 if it waits for these as well
-- ARGV[7]  how many bytes of what parked jobs wait for to answer, at least of one; or ''
-- then the ids
--
-- Returns {} if the incarnation does not hold the job, else {the ids that have ended or are
-- unknown; the parked ones, each followed by what it waits for; the parked ones for
-- which there was no room}. If all have ended, nothing is noted.
local inc, ns, id, attempt, number = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local room = tonumber(ARGV[7])
local slash, waits = ns .. '/', space(ns) .. 'p'
local field = slash .. id
if inc ~= '' then
  local value = call('HGET', P .. 'w:' .. inc, field)
  if not value or string.match(value, '^%d+') ~= attempt then
    return {}
  end
end
local ends, jobs = P .. 'e:' .. slash, P .. 'j:' .. slash
local over, open = {}, {}

-- How many keys there are of the ids from one to another.
local function count(prefix, from, to)
  local keys = {}
  for i = from, to do
    keys[#keys + 1] = prefix .. ARGV[i]
  end
  return call('EXISTS', unpack(keys))
end

-- Sorts the ids into those that are open and the rest. They are alike in long runs, most
-- often, so that one call tells of all, or of `block`s of them.
local function sort(from, to, block)
  local n = to - from + 1
  local ended = count(ends, from, to)
  local known = ended == n and n or count(jobs, from, to)
  if ended == n or known == 0 or (ended == 0 and known == n) then
    local list = ended == 0 and known == n and open or over
    for i = from, to do
      list[#list + 1] = ARGV[i]
    end
    return
  end
  for i = from, to, block do
    sort(i, math.min(i + block - 1, to), 1)
  end
end

if #ARGV > 7 then
  sort(8, #ARGV, 50)
end
if inc ~= '' and #open > 0 then
  even_if_full()
  local before, more = ARGV[6] == '0' and call('HGET', waits, id), table.concat(open, ' ')
  if before and string.match(before, '^%d+') == number then
    call('HSET', waits, id, before .. ' ' .. more)
  else
    call('HSET', waits, id, number .. ':' .. more)
    tell_all({ { field, attempt, 'p' } })
    local N = space(ns)
    local m = call('HMGET', N .. 'meta', 'limit', 'caps')
    if m[1] or m[2] then
      -- It has given its slot away, and its place below the caps.
      if m[2] then
        make_gates().park(N, id)
      end
      if has_waiting(N) then
        activate(ns)
      end
    end
  end
end
local parked, later = {}, {}
if room and call('EXISTS', waits) == 1 then
  for i = 1, #open do
    local length = call('HSTRLEN', waits, open[i])
    if length > 0 then
      if #parked > 0 and length > room then
        later[#later + 1] = open[i]
      else
        room = room - length
        parked[#parked + 1] = open[i]
        parked[#parked + 1] = string.match(call('HGET', waits, open[i]), ':(.*)$')
      end
    end
  end
end
return { over, parked, later }
