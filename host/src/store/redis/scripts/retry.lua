-- Lets jobs run again that ended without success.
--
-- ARGV[1]  namespace
-- then for each job: id; the end that the caller has read; which total it counts in; the
-- number of its last attempt; its past attempts, or ''
--
-- Returns for each whether it waits again; it does not if its end is another one now.
local ns = ARGV[1]
local N, slash = space(ns), ARGV[1] .. '/'
local answer, ready, news = {}, {}, {}
local since, now = {}, now_ms()
for i = 2, #ARGV, 5 do
  local id, total = ARGV[i], ARGV[i + 2]
  local field = slash .. id
  local E = P .. 'e:' .. field
  local rank = call('GETRANGE', P .. 'j:' .. field, 13, 14)
  if rank == '' or call('GETRANGE', E, 0, #ARGV[i + 1] - 1) ~= ARGV[i + 1] then
    answer[#answer + 1] = 0
  else
    -- The first write is one that Redis refuses when it is out of memory.
    call('HSET', N .. 'a', id, ARGV[i + 3])
    if ARGV[i + 4] ~= '' then
      call('SET', P .. 'h:' .. field, ARGV[i + 4])
    end
    call('UNLINK', E)
    call('ZREM', N .. 'dead', id)
    call('HINCRBY', N .. 'meta', total, -1)
    -- A total that began again at 0 since does not fall below that.
    local m = call('HMGET', N .. 'meta', total, '0:' .. total)
    if m[2] and tonumber(m[1]) < tonumber(m[2]) then
      call('HSET', N .. 'meta', '0:' .. total, m[1])
    end
    if calls_back(rank) then
      -- A try of the old end that is on its way is not one of the new end.
      local C = P .. 'cb:' .. field
      local number = call('HGET', C, '')
      call('ZREM', P .. 'out', field)
      if number then
        call('UNLINK', C)
        call('HSET', C, '', number + 1)
      end
    end
    ready[#ready + 1] = id .. ':' .. rank
    since[#since + 1] = id
    since[#since + 1] = now
    news[#news + 1] = { field, ARGV[i + 3], 'q' }
    answer[#answer + 1] = 1
  end
end
many('HSET', N .. 'since', since)
enqueue(ns, ready)
tell_all(news)
return answer
