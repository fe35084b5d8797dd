-- Binds functions.
--
-- ARGV[1]  namespace
-- then for each function: name; record
--
-- Returns {now ms, version of the whole, version, version, ..}
local ns = ARGV[1]
local N, now = space(ns), now_ms()
local whole = call('HINCRBY', N .. 'meta', 'functions', 1)
local answer = { now, whole }
for i = 2, #ARGV, 2 do
  local name = ARGV[i]
  local version = call('HINCRBY', N .. 'fl', name, 1)
  -- A function keeps the place of its first deployment.
  call('HSETNX', N .. 'fp', name, call('HLEN', N .. 'fp'))
  local record = version .. ':' .. now .. ':' .. ARGV[i + 1]
  call('HSET', N .. 'fv', name .. ':' .. version, record)
  call('HSET', N .. 'f', name, call('HGET', N .. 'fp', name) .. ':' .. record)
  answer[#answer + 1] = version
end
call('SADD', P .. 'ns', ns)
-- What waited for a function need wait no longer.
if queues('i', N) > 0 then
  for lane = 0, 3 do
    local q, idle = N .. 'q' .. lane, N .. 'i' .. lane
    call('ZUNIONSTORE', q, 2, q, idle)
    call('UNLINK', idle)
  end
  activate(ns)
end
tell('f', ns .. ' ' .. whole)
return answer
