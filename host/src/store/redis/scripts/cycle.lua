-- A host's step: records the ends of attempts, then takes waiting jobs.
--
-- ARGV[1]  incarnation
-- ARGV[2]  number of the step
-- ARGV[3]  how many jobs to take
-- ARGV[4]  every how manieth claim takes the lowest priority first
-- ARGV[5]  how many ends follow, each of:
--   namespace; id; attempt; verdict; pause in ms; when the result expires, ms, or '';
--   the end to record if somebody has cancelled the job, or ''; number of pairs; the
--   pairs: kind of key (e, h, l) and value
-- The verdicts: c completed, f failed, x cancelled, r again, l released.
--
-- Returns {'lost'}, {'old'}, or {'ok', now ms, when the next job is due or '', whether
-- jobs are left to take, the indexes of refused ends, claims, versions of functions}:
-- a claim is `ns/id`, attempt, claimed ms, record, past attempts or '' (5 values);
-- a version is namespace, number (2 values).
local inc, step, want, every, count = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local W, S = P .. 'w:' .. inc, P .. 's:' .. inc
if not call('ZSCORE', P .. 'hosts', inc) then
  return { 'lost' }
end
local made, made_claims, made_refused
local before = call('GET', S)
if before then
  made, made_claims, made_refused = string.match(before, '^(%d+)|(.-)|(.*)$')
  if tonumber(step) < tonumber(made) then
    return { 'old' }
  end
end
local now = now_ms()

-- The namespace and id of `ns/id`.
local function parse(field)
  return string.match(field, '^(.*)/(%d+)$')
end

-- Records the ends; answers the indexes of those that do not count.
local function complete()
  local fields, blocks, at = {}, {}, 6
  for n = 1, count do
    fields[n] = ARGV[at] .. '/' .. ARGV[at + 1]
    blocks[n] = at
    at = at + 8 + 2 * ARGV[at + 7]
  end
  local held = gather('HMGET', W, fields)
  local stops = call('EXISTS', P .. 'stop') == 1 and gather('SMISMEMBER', P .. 'stop', fields)
  local refused, over, ended, stopped, records, drop = {}, {}, {}, {}, {}, {}
  local spaces, seen = {}, {}
  for n = 1, count do
    local b, field, value = blocks[n], fields[n], held[n]
    local attempt, past, member = string.match(value or '', '^(%d+):%d+:(%d):(.*)$')
    if attempt ~= ARGV[b + 2] or seen[field] then
      refused[#refused + 1] = n
    else
      seen[field] = true
      over[#over + 1] = field
      local ns, id, verdict, pause = ARGV[b], ARGV[b + 1], ARGV[b + 3], ARGV[b + 4]
      local s = spaces[ns]
      if not s then
        s = { N = space(ns), ready = {}, later = {}, dead = {}, tally = {}, attempts = {}, forget = {} }
        spaces[ns] = s
      end
      local stop = stops and stops[n] == 1
      local cancel = stop and ARGV[b + 6] ~= ''
      if cancel then
        verdict = 'x'
        records[#records + 1] = s.N .. 'e:' .. id
        records[#records + 1] = ARGV[b + 6]
      end
      local has_log = false
      for p = b + 8, b + 7 + 2 * ARGV[b + 7], 2 do
        local kind, bytes = ARGV[p], ARGV[p + 1]
        if kind == 'l' or not cancel then
          has_log = has_log or kind == 'l'
          if kind == 'e' and stop then
            bytes = '1' .. string.sub(bytes, 2)
          end
          records[#records + 1] = s.N .. kind .. ':' .. id
          records[#records + 1] = bytes
        end
      end
      if verdict == 'r' or verdict == 'l' then
        if pause == '0' then
          s.ready[#s.ready + 1] = score(member)
          s.ready[#s.ready + 1] = member
        else
          s.later[#s.later + 1] = int(now + pause)
          s.later[#s.later + 1] = member
        end
        if verdict == 'r' or has_log then
          s.attempts[#s.attempts + 1] = id
          s.attempts[#s.attempts + 1] = verdict == 'r' and attempt or int(attempt - 1)
        end
        if verdict == 'r' and past == '1' and not has_log then
          drop[#drop + 1] = s.N .. 'l:' .. id
        end
      else
        ended[#ended + 1] = field
        s.tally[verdict] = (s.tally[verdict] or 0) + 1
        if stop then
          stopped[#stopped + 1] = field
        end
        if past == '1' then
          s.forget[#s.forget + 1] = id
          drop[#drop + 1] = s.N .. 'h:' .. id
          if not has_log then
            drop[#drop + 1] = s.N .. 'l:' .. id
          end
        end
        if verdict == 'f' then
          s.dead[#s.dead + 1] = int(now)
          s.dead[#s.dead + 1] = id
        end
        if ARGV[b + 5] ~= '' then
          call('ZADD', P .. 'expire', ARGV[b + 5], field)
        end
      end
    end
  end
  many('HDEL', W, over)
  many('MSET', nil, records)
  many('UNLINK', nil, drop)
  many('SREM', P .. 'stop', stopped)
  if #over > 0 and call('EXISTS', P .. 'g:' .. inc) == 1 then
    many('HDEL', P .. 'g:' .. inc, over)
  end
  for ns, s in pairs(spaces) do
    many('HSET', s.N .. 'a', s.attempts)
    many('HDEL', s.N .. 'a', s.forget)
    many('ZADD', s.N .. 'dead', s.dead)
    enqueue(ns, s.ready)
    delay(ns, s.later)
    for verdict, name in pairs({ c = 'completed', f = 'failed', x = 'cancelled' }) do
      if s.tally[verdict] then
        call('HINCRBY', s.N .. 'meta', name, s.tally[verdict])
      end
    end
  end
  if #ended > 0 then
    tell('e', table.concat(ended, ' '))
  end
  return refused
end

-- Moves what is due to the queues, a bounded amount.
local function promote()
  for _, ns in ipairs(call('ZRANGEBYSCORE', P .. 'dues', '-inf', int(now), 'LIMIT', 0, 16)) do
    local d = space(ns) .. 'd'
    local members = call('ZRANGEBYSCORE', d, '-inf', int(now), 'LIMIT', 0, 500)
    local list = {}
    for _, member in ipairs(members) do
      list[#list + 1] = score(member)
      list[#list + 1] = member
    end
    many('ZREM', d, members)
    enqueue(ns, list)
    local first = call('ZRANGE', d, 0, 0, 'WITHSCORES')[2]
    if first then
      call('ZADD', P .. 'dues', first, ns)
    else
      call('ZREM', P .. 'dues', ns)
    end
  end
end

-- The lane of a member: its priority.
local function lane(member)
  return tonumber(string.match(member, ':(%d)'))
end

-- Takes `n` members in order, where every `every`th claim takes the oldest of the
-- lowest priority that waits.
local function pop(q, n, claims)
  local yields = math.floor((claims + n) / every) - math.floor(claims / every)
  local first, last = call('ZRANGE', q, 0, 0)[1], call('ZRANGE', q, -1, -1)[1]
  if not first then
    return {}
  end
  if yields == 0 or lane(first) == lane(last) then
    local members = {}
    local popped = call('ZPOPMIN', q, n)
    for i = 1, #popped, 2 do
      members[#members + 1] = popped[i]
    end
    return members
  end
  local pool = {}
  for priority = 3, 0, -1 do
    if yields > #pool then
      local min, max = int(priority * LANE), '(' .. int((priority + 1) * LANE)
      local low = call('ZRANGEBYSCORE', q, min, max, 'LIMIT', 0, yields - #pool)
      if #low > 0 then
        call('ZREM', q, unpack(low))
        for _, member in ipairs(low) do
          pool[#pool + 1] = { member, lane(member) * LANE + string.match(member, '^%d+') }
        end
      end
    end
  end
  if n > #pool then
    local popped = call('ZPOPMIN', q, n - #pool)
    for i = 1, #popped, 2 do
      pool[#pool + 1] = { popped[i], tonumber(popped[i + 1]) }
    end
  end
  table.sort(pool, function(a, b) return a[2] < b[2] end)
  local members = {}
  while #pool > 0 do
    local at = 1
    if (claims + #members + 1) % every == 0 then
      local lowest = lane(pool[#pool][1])
      while lane(pool[at][1]) ~= lowest do
        at = at + 1
      end
    end
    members[#members + 1] = table.remove(pool, at)[1]
  end
  return members
end

-- Takes up to `n` jobs of a namespace into `claims`; answers how many, and whether
-- none are left.
local function take(ns, n, claims, held)
  local N = space(ns)
  local claimed = tonumber(call('HGET', N .. 'meta', 'claims') or 0)
  local members, has_functions = {}, nil
  while #members < n do
    local popped = pop(N .. 'q', n - #members, claimed + #members)
    if #popped == 0 then
      break
    end
    for _, member in ipairs(popped) do
      local runs = string.sub(member, -1) ~= '*'
      if not runs then
        if has_functions == nil then
          has_functions = call('EXISTS', N .. 'f') == 1
        end
        runs = has_functions
      end
      if runs then
        members[#members + 1] = member
      else
        call('ZADD', N .. 'idle', score(member), member)
      end
    end
  end
  if #members > 0 then
    call('HINCRBY', N .. 'meta', 'claims', #members)
    local ids = {}
    for i, member in ipairs(members) do
      ids[i] = string.match(member, '^%d+')
    end
    local attempts = call('EXISTS', N .. 'a') == 1 and gather('HMGET', N .. 'a', ids) or {}
    for i, member in ipairs(members) do
      local past = attempts[i]
      local attempt = int((past or 0) + 1)
      local field = ns .. '/' .. ids[i]
      claims[#claims + 1] = field
      held[#held + 1] = field
      held[#held + 1] = attempt .. ':' .. int(now) .. ':' .. (past and '1' or '0') .. ':' .. member
    end
  end
  return #members, call('EXISTS', N .. 'q') == 0
end

-- Takes up to `want` jobs; the namespaces take turns.
local function claim()
  local claims, held, left = {}, {}, want
  while left > 0 do
    local spaces = call('ZRANGE', P .. 'active', 0, 63)
    if #spaces == 0 then
      break
    end
    for i, ns in ipairs(spaces) do
      local taken, dry = take(ns, math.ceil(left / (#spaces - i + 1)), claims, held)
      left = left - taken
      if dry then
        call('ZREM', P .. 'active', ns)
      elseif #spaces > 1 then
        call('ZADD', P .. 'active', call('HINCRBY', P .. 'meta', 'turn', 1), ns)
      end
      if left == 0 then
        break
      end
    end
  end
  many('HSET', W, held)
  return claims
end

local refused, claims = {}, {}
if step == made then
  for index in string.gmatch(made_refused, '%d+') do
    refused[#refused + 1] = tonumber(index)
  end
  for field in string.gmatch(made_claims, '%S+') do
    claims[#claims + 1] = field
  end
else
  if count > 0 then
    refused = complete()
  end
  promote()
  claims = claim()
  call('SET', S, step .. '|' .. table.concat(claims, ' ') .. '|' .. table.concat(refused, ' '))
end

local answer, versions, spaces = {}, {}, {}
if #claims > 0 then
  local records, held = {}, gather('HMGET', W, claims)
  for i, field in ipairs(claims) do
    local ns, id = parse(field)
    records[i] = space(ns) .. 'j:' .. id
    if not spaces[ns] then
      spaces[ns] = true
      versions[#versions + 1] = ns
      versions[#versions + 1] = call('HGET', space(ns) .. 'meta', 'functions') or '0'
    end
  end
  records = gather('MGET', nil, records)
  for i, field in ipairs(claims) do
    if held[i] then
      local ns, id = parse(field)
      local attempt, claimed, past = string.match(held[i], '^(%d+):(%d+):(%d)')
      answer[#answer + 1] = field
      answer[#answer + 1] = attempt
      answer[#answer + 1] = claimed
      answer[#answer + 1] = records[i] or ''
      answer[#answer + 1] = past == '1' and call('GET', space(ns) .. 'h:' .. id) or ''
    end
  end
end
local left = call('EXISTS', P .. 'active')
if left == 1 then
  ring()
else
  call('DEL', P .. 'wake')
end
local due = call('ZRANGE', P .. 'dues', 0, 0, 'WITHSCORES')[2] or ''
return { 'ok', now, due, left, refused, answer, versions }
