-- Accepts jobs, in order.
--
-- ARGV[1]  namespace
-- ARGV[2]  id of this batch: a batch that comes again is answered as it was
-- ARGV[3]  how long to remember that, ms
-- then for each job:
--   rank; delay in ms; idempotency key or ''; record (rank, head, message)
--
-- Returns the ids, separated by spaces. The first write is one that Redis refuses
-- when it is out of memory, and then nothing is written.
local ns, batch = ARGV[1], P .. 'b:' .. ARGV[2]
local answered = call('GET', batch)
if answered then
  return answered
end
local N, now = space(ns), now_ms()
local at = string.format('%013.0f', now)
local prefix = P .. 'j:' .. ns .. '/'
local before = tonumber(call('HGET', N .. 'meta', 'last') or 0)
local last = before
local ids, records, ready, later, keys = {}, {}, {}, {}, {}
for i = 4, #ARGV, 4 do
  local key = ARGV[i + 2]
  local id = key ~= '' and (keys[key] or call('GET', N .. 'u:' .. key))
  if not id then
    last = last + 1
    id = tostring(last)
    if key ~= '' then
      keys[key] = id
      records[#records + 1] = N .. 'u:' .. key
      records[#records + 1] = id
    end
    records[#records + 1] = prefix .. id
    records[#records + 1] = at .. ARGV[i + 3]
    local member = id .. ':' .. ARGV[i]
    if ARGV[i + 1] == '0' then
      ready[#ready + 1] = score(member)
      ready[#ready + 1] = member
    else
      later[#later + 1] = now + ARGV[i + 1]
      later[#later + 1] = member
    end
  end
  ids[#ids + 1] = id
end
local answer = table.concat(ids, ' ')
if last > before then
  call('HSET', N .. 'meta', 'last', last)
  call('HINCRBY', N .. 'meta', 'posted', last - before)
  call('SADD', P .. 'ns', ns)
  many('MSET', nil, records)
  enqueue(ns, ready)
  delay(ns, later)
end
call('SET', batch, answer, 'PX', ARGV[3])
return answer
