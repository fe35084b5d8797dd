-- How queues stand.
--
-- ARGV[1]  how many of the first jobs of each kind to look at for the oldest
-- then the namespaces
--
-- Returns for each {queued, scheduled, running, parked, moving, posted, completed, failed,
-- cancelled, paused, limit or 0, when the oldest that is queued became due in ms or 0, jobs in the
-- dead letter}.
-- What runs is what is nowhere else.
local now = now_ms()

-- When the oldest of the first jobs of each kind became due, or nothing. One that is not
-- in `since` became due when it was accepted, which its record begins with.
local function oldest_of(ns, N)
  local oldest, has_since = nil, call('EXISTS', N .. 'since') == 1
  for _, set in ipairs({ 'q0', 'q1', 'q2', 'q3', 'i0', 'i1', 'i2', 'i3', 'g', 'aside' }) do
    for _, member in ipairs(call('ZRANGE', N .. set, 0, ARGV[1] - 1)) do
      -- Those of a run became due together.
      local id = string.match(member, '^%d+')
      local at = has_since and call('HGET', N .. 'since', id)
        or call('GETRANGE', P .. 'j:' .. ns .. '/' .. id, 0, 12)
      at = tonumber(at)
      if at and (not oldest or at < oldest) then
        oldest = at
      end
    end
  end
  return oldest
end

local function status_of(ns)
  local N = space(ns)
  local m = call('HMGET', N .. 'meta', 'posted', 'completed', 'failed', 'cancelled', 'purged', 'paused',
    '0:posted', '0:completed', '0:failed', '0:cancelled', 'limit', 'more')
  for i = 1, 12 do
    m[i] = tonumber(m[i] or 0)
  end
  local due = call('ZCOUNT', N .. 'd', '-inf', now)
  local scheduled = call('ZCARD', N .. 'd') - due
  local queued = m[12] + call('ZCARD', N .. 'aside') + call('ZCARD', N .. 'g') + due
  for lane = 0, 3 do
    queued = queued + call('ZCARD', N .. 'q' .. lane) + call('ZCARD', N .. 'i' .. lane)
  end
  local moving = call('HLEN', N .. 'm')
  local parked = call('HLEN', N .. 'p')
  local running = m[1] - m[2] - m[3] - m[4] - m[5] - queued - scheduled - moving - parked
  local oldest = queued > 0 and oldest_of(ns, N) or 0
  if due > 0 then
    local first = math.floor(tonumber(call('ZRANGE', N .. 'd', 0, 0, 'WITHSCORES')[2]))
    oldest = oldest > 0 and math.min(oldest, first) or first
  end
  return { queued, scheduled, running, parked, moving, m[1] - m[7], m[2] - m[8], m[3] - m[9], m[4] - m[10],
    m[6], m[11], oldest, call('ZCARD', N .. 'dead') }
end

local answer = {}
for i = 2, #ARGV do
  answer[i - 1] = status_of(ARGV[i])
end
return answer
