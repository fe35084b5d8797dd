-- Looks at jobs, for those who wait for them; notes that running jobs wait.
--
-- ARGV, for each who waits:
--   incarnation; '' to look only
--   namespace
--   id of the job that waits
--   its attempt
--   the number of the wait
--   1 if the wait begins, 0 if it waits for these as well
--   how many bytes of what parked jobs wait for to answer, at least of one; or ''
--   how many ids follow
--   the ids
--
-- Returns for each {} if the incarnation does not hold the job, else {the ids that have ended
-- or are unknown; the parked ones, each followed by what it waits for; the parked ones for
-- which there was no room}. If all have ended, nothing is noted.

-- How many keys there are of the ids from one place to another.
local function count(prefix, from, to)
  local keys = {}
  for i = from, to do
    keys[#keys + 1] = prefix .. ARGV[i]
  end
  return call('EXISTS', unpack(keys))
end

-- Puts ids on the list of those that are open or on the other. They are alike in long runs,
-- most often, so that one call tells of all, or of `block`s of them.
local function sort(slash, open, over, from, to, block)
  local n = to - from + 1
  local ended = count(P .. 'e:' .. slash, from, to)
  local known = ended == n and n or count(P .. 'j:' .. slash, from, to)
  if ended == n or known == 0 or (ended == 0 and known == n) then
    local list = ended == 0 and known == n and open or over
    for i = from, to do
      list[#list + 1] = ARGV[i]
    end
    return
  end
  for i = from, to, block do
    sort(slash, open, over, i, math.min(i + block - 1, to), 1)
  end
end

local news = {}

-- Looks for the one whose arguments begin at a place and whose ids end at another.
local function look(at, last)
  local inc, ns, id, attempt, number, begins, room = unpack(ARGV, at, at + 6)
  local slash, waits = ns .. '/', space(ns) .. 'p'
  local field = slash .. id
  if inc ~= '' then
    local value = call('HGET', P .. 'w:' .. inc, field)
    if not value or string.match(value, '^%d+') ~= attempt then
      return {}
    end
  end
  local over, open = {}, {}
  if last >= at + 8 then
    sort(slash, open, over, at + 8, last, 50)
  end
  if inc ~= '' and #open > 0 then
    even_if_full()
    local before, more = begins == '0' and call('HGET', waits, id), table.concat(open, ' ')
    if before and string.match(before, '^%d+') == number then
      call('HSET', waits, id, before .. ' ' .. more)
    else
      call('HSET', waits, id, number .. ':' .. more)
      news[#news + 1] = { field, attempt, 'p' }
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
  room = tonumber(room)
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
end

local answers, at = {}, 1
while ARGV[at] do
  local last = at + 7 + tonumber(ARGV[at + 7])
  answers[#answers + 1] = look(at, last)
  at = last + 1
end
tell_all(news)
return answers
