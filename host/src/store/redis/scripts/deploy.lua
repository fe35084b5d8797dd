-- Binds functions.
--
-- ARGV[1]  namespace
-- then for each function: name; how many jobs of it may run at once, or 0; record; digest of
-- its component
--
-- Returns {now ms, version of the whole, version, version, ..}
local ns = ARGV[1]
local N, now = space(ns), now_ms()
local whole = call('HINCRBY', N .. 'meta', 'functions', 1)
local answer = { now, whole }
local capped = call('HKEYS', N .. 'caps')
local changed = false
for i = 2, #ARGV, 4 do
  local name = ARGV[i]
  local version = call('HINCRBY', N .. 'fl', name, 1)
  -- A function keeps the place of its first deployment.
  call('HSETNX', N .. 'fp', name, call('HLEN', N .. 'fp'))
  keep_blob(ARGV[i + 3])
  local record = version .. ':' .. now .. ':' .. ARGV[i + 2]
  call('HSET', N .. 'fv', name .. ':' .. version, record)
  call('HSET', N .. 'f', name, call('HGET', N .. 'fp', name) .. ':' .. record)
  answer[#answer + 1] = version
  local cap = ARGV[i + 1] ~= '0' and ARGV[i + 1]
  if call('HGET', N .. 'caps', name) ~= cap then
    changed = true
    if cap then
      call('HSET', N .. 'caps', name, cap)
    else
      call('HDEL', N .. 'caps', name)
    end
  end
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
if changed then
  make_gates().begin(ns, capped)
end
tell('f', ns .. ' ' .. whole)
return answer
