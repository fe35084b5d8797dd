-- Accepts jobs, in order.
--
-- ARGV[1]  namespace
-- ARGV[2]  id of this batch: a batch that comes again is answered as it was
-- ARGV[3]  how long to remember that, ms
-- ARGV[4]  how many values each job has, 4 or 7:
--   rank; delay in ms; idempotency key or ''; record (rank, head, message);
--   and of a job of another store: where it came from; the number of its last attempt
--   or ''; its past attempts
--
-- Returns the ids, separated by spaces. The first write is one that Redis refuses
-- when it is out of memory, and then nothing is written.
local ns, batch, width = ARGV[1], P .. 'b:' .. ARGV[2], tonumber(ARGV[4])
local answered = call('GET', batch)
if answered then
  return answered
end
local N, now, prefix = space(ns), now_ms(), P .. 'j:' .. ns .. '/'
local at = string.format('%013.0f', now)
local before = tonumber(call('HGET', N .. 'meta', 'last') or 0)
local last = before
local ids, records, ready, later, attempts, known = {}, {}, {}, {}, {}, {}

-- The id under a key, also if it was given a moment ago.
local function id_of(key)
  return known[key] or call('GET', key)
end

local function remember(key, id)
  known[key] = id
  records[#records + 1] = key
  records[#records + 1] = id
end

for i = 5, #ARGV, width do
  local key = ARGV[i + 2] ~= '' and N .. 'u:' .. ARGV[i + 2]
  local origin = width == 7 and N .. 'o:' .. ARGV[i + 4]
  local id = origin and id_of(origin)
  if not id then
    id = key and id_of(key)
    if not id then
      last = last + 1
      id = tostring(last)
      if key then
        remember(key, id)
      end
      records[#records + 1] = prefix .. id
      records[#records + 1] = at .. ARGV[i + 3]
      local member = id .. ':' .. ARGV[i]
      local list = ARGV[i + 1] == '0' and ready or later
      list[#list + 1] = ARGV[i + 1] == '0' and score(member) or now + ARGV[i + 1]
      list[#list + 1] = member
      if origin and ARGV[i + 5] ~= '' then
        attempts[#attempts + 1] = id
        attempts[#attempts + 1] = ARGV[i + 5]
        records[#records + 1] = P .. 'h:' .. ns .. '/' .. id
        records[#records + 1] = ARGV[i + 6]
      end
    end
    if origin then
      remember(origin, id)
    end
  end
  ids[#ids + 1] = id
end
local answer = table.concat(ids, ' ')
if #records > 0 then
  call('HSET', N .. 'meta', 'last', last)
  call('HINCRBY', N .. 'meta', 'posted', last - before)
  call('SADD', P .. 'ns', ns)
  many('MSET', nil, records)
  many('HSET', N .. 'a', attempts)
  enqueue(ns, ready)
  delay(ns, later)
end
call('SET', batch, answer, 'PX', ARGV[3])
return answer
