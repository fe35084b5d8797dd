-- Jobs from the newest to the oldest, with what tells where they are: those that a list
-- may let through, of which its host reads the records.
--
-- ARGV[1]  namespace
-- ARGV[2]  below this id, or ''
-- ARGV[3]  where to look: `all`, `dead`, `held` (by hosts), `open`, or `named`
-- ARGV[4]  accepted at this time or later, ms, or ''
-- ARGV[5]  accepted before this time, ms, or ''
-- ARGV[6]  how many bytes of each message
-- ARGV[7]  how many jobs at most
-- ARGV[8]  how many bytes at most, unless the first job has more
-- ARGV[9]  how many ids to look at at most, to pass by those of no job, or of another time
-- then, if they are named, their ids, newest first
--
-- Returns {where the rest begins, below this id, or ''; then of each job: id, when it was
-- accepted, head, bytes of the message, beginning of the message, past attempts or '',
-- progress or '', place, detail}; place and detail are those of `job.lua`. Or {'again'}: the
-- dead letter was being put in order, and there is more of that to do.
local ns, below, where = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local from, upto, searched = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local most, room, steps = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local N, slash = space(ns), ARGV[1] .. '/'
local hosts = where ~= 'dead' and call('ZRANGE', P .. 'hosts', 0, -1) or {}

-- What ids of the dead letter were kept by, before it was a list: the time, which is larger
-- than any id.
local OLD_SCORE = '1000000000000'
if where == 'dead' then
  local old = call('ZRANGEBYSCORE', N .. 'dead', OLD_SCORE, '+inf', 'LIMIT', 0, 1000)
  if #old > 0 then
    even_if_full()
    local scores = {}
    for i = 1, #old do
      scores[2 * i - 1], scores[2 * i] = old[i], old[i]
    end
    many('ZADD', N .. 'dead', scores)
    if #old == 1000 then
      return { 'again' }
    end
  end
end

-- Below this id a set may have more than it was asked for.
local floor

-- The ids of a sorted set, newest first.
local function newest(set, ids)
  local max = below and '(' .. ARGV[2] or '+inf'
  local members = call('ZREVRANGEBYSCORE', N .. set, max, '-inf', 'LIMIT', 0, most)
  local left = most
  for i = 1, #members do
    local first, last = span_of(members[i])
    for id = math.min(last, (below or last + 1) - 1), first, -1 do
      ids[#ids + 1], left = id, left - 1
      if left == 0 then
        floor = math.max(floor or 0, id)
        return
      end
    end
  end
end

-- What hosts hold of the namespace: some thousand jobs.
local function held(ids)
  for _, inc in ipairs(hosts) do
    for _, field in ipairs(call('HKEYS', P .. 'w:' .. inc)) do
      if string.sub(field, 1, #slash) == slash then
        local id = tonumber(string.sub(field, #slash + 1))
        if id and not (below and id >= below) then
          ids[#ids + 1] = id
        end
      end
    end
  end
end

-- The jobs to look at, and below which id there may be more.
local ids, rest = {}, nil
if where == 'named' then
  for i = 10, #ARGV do
    ids[#ids + 1] = tonumber(ARGV[i])
  end
elseif where == 'dead' then
  newest('dead', ids)
elseif where ~= 'all' then
  held(ids)
  if where == 'open' then
    for _, set in ipairs({ 'q0', 'q1', 'q2', 'q3', 'i0', 'i1', 'i2', 'i3', 'g', 'aside', 't' }) do
      newest(set, ids)
    end
    for _, id in ipairs(call('HKEYS', N .. 'm')) do
      if not (below and tonumber(id) >= below) then
        ids[#ids + 1] = tonumber(id)
      end
    end
  end
  table.sort(ids, function(a, b) return a > b end)
end
local last = tonumber(call('HGET', N .. 'meta', 'last') or 0)
if where == 'all' and below and below <= last then
  last = below - 1
end

local answer, found, bytes, open = { '' }, 0, 0, {}

-- Adds a job to the answer, if there is one of the id that fits; `false` if there is no
-- room, and `gone` if there is no job.
local function put(id)
  local J = P .. 'j:' .. slash .. id
  -- Most heads are shorter than this, so that one look is enough.
  local front = call('GETRANGE', J, 0, 255)
  if front == '' then
    return 'gone'
  end
  local at = tonumber(string.sub(front, 1, 13)) or 0
  if (from and at < from) or (upto and at >= upto) then
    return true
  end
  local length = tonumber(string.sub(front, 16, 23), 16) or 0
  local head = string.sub(front, 24, 23 + length)
  if #head < length then
    head = call('GETRANGE', J, 23, 22 + length)
  end
  local message = searched > 0 and call('GETRANGE', J, 23 + length, 22 + length + searched) or ''
  local E = P .. 'e:' .. slash .. id
  local ended = call('GETRANGE', E, 0, 511)
  if ended ~= '' then
    local size = 9 + (tonumber(string.sub(ended, 2, 9), 16) or 0)
    ended = size > #ended and call('GETRANGE', E, 0, size - 1) or string.sub(ended, 1, size)
  end
  local size = #head + #message + #ended
  if found > 0 and bytes + size > room then
    return false
  end
  found, bytes = found + 1, bytes + size
  local n = #answer
  answer[n + 1], answer[n + 2], answer[n + 3] = id, string.sub(front, 1, 13), head
  answer[n + 4], answer[n + 5] = math.max(call('STRLEN', J) - 23 - length, 0), message
  answer[n + 6], answer[n + 7] = '', ''
  if ended ~= '' then
    answer[n + 8], answer[n + 9] = 'ended', ended
  else
    answer[n + 8], answer[n + 9] = 'queued', ''
    open[#open + 1] = { id = string.format('%.0f', id), rank = string.sub(front, 14, 15), at = n }
  end
  return true
end

if where == 'all' then
  local id, was_gone = last, false
  while id > 0 and not rest do
    local is_put = found < most and steps > 0 and put(id)
    if not is_put then
      rest = id + 1
    else
      id, steps = id - 1, steps - 1
      local is_gone = is_put == 'gone'
      if is_gone and was_gone then
        -- Where many are gone, a hundred ids are passed by at once.
        local keys = {}
        for i = id, math.max(id - 99, 1), -1 do
          keys[#keys + 1] = P .. 'j:' .. slash .. string.format('%.0f', i)
        end
        if #keys > 0 and call('EXISTS', unpack(keys)) == 0 then
          id = id - #keys
        end
        steps = steps - 10
      end
      was_gone = is_gone
    end
  end
else
  local before
  for i = 1, #ids do
    if ids[i] ~= before then
      if floor and ids[i] < floor then
        break
      end
      if found == most or not put(ids[i]) then
        rest = ids[i] + 1
        break
      end
      before = ids[i]
    end
  end
  rest = rest or floor
end
answer[1] = rest and string.format('%.0f', rest) or ''

-- Where those are that have not ended.
if #open > 0 then
  local members, names, fields = {}, {}, {}
  for i, job in ipairs(open) do
    members[i], names[i], fields[i] = job.id .. ':' .. job.rank, job.id, slash .. job.id
  end
  local dues = gather('ZMSCORE', N .. 'd', members)
  local movers = gather('HMGET', N .. 'm', names)
  local past = gather('HMGET', N .. 'a', names)
  local parked = call('EXISTS', N .. 'p') == 1 and gather('HMGET', N .. 'p', names) or {}
  for i, job in ipairs(open) do
    if dues[i] then
      answer[job.at + 8], answer[job.at + 9] = 'scheduled', dues[i]
    elseif movers[i] then
      answer[job.at + 8] = 'held'
    end
    if past[i] then
      answer[job.at + 6] = call('GET', P .. 'h:' .. fields[i]) or ''
    end
  end
  for _, inc in ipairs(hosts) do
    local values, said = gather('HMGET', P .. 'w:' .. inc, fields), nil
    for i, job in ipairs(open) do
      if values[i] then
        said = said or gather('HMGET', P .. 'g:' .. inc, fields)
        answer[job.at + 7] = said[i] and string.gsub(said[i], '^%d+:', '') or ''
        answer[job.at + 8] = parked[i] and 'parked' or 'running'
        answer[job.at + 9] = values[i]
      end
    end
  end
end
return answer
