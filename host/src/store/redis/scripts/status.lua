-- How a queue stands.
--
-- ARGV[1]  namespace
--
-- Returns {queued, scheduled, running, parked, moving, posted, completed, failed,
-- cancelled, paused, limit or 0}. What runs is what is nowhere else.
local N = space(ARGV[1])
local m = call('HMGET', N .. 'meta', 'posted', 'completed', 'failed', 'cancelled', 'purged', 'paused',
  '0:posted', '0:completed', '0:failed', '0:cancelled', 'limit')
for i = 1, 11 do
  m[i] = tonumber(m[i] or 0)
end
local due = call('ZCOUNT', N .. 'd', '-inf', now_ms())
local scheduled = call('ZCARD', N .. 'd') - due
local queued = call('ZCARD', N .. 'aside') + call('ZCARD', N .. 'g') + due
for lane = 0, 3 do
  queued = queued + call('ZCARD', N .. 'q' .. lane) + call('ZCARD', N .. 'i' .. lane)
end
local moving = call('HLEN', N .. 'm')
local parked = call('HLEN', N .. 'p')
local running = m[1] - m[2] - m[3] - m[4] - m[5] - queued - scheduled - moving - parked
return { queued, scheduled, running, parked, moving, m[1] - m[7], m[2] - m[8], m[3] - m[9], m[4] - m[10], m[6], m[11] }
