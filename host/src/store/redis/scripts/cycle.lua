-- A host's step: records the ends of attempts, then takes waiting jobs.
--
-- ARGV[1]  incarnation
-- ARGV[2]  number of the step
-- ARGV[3]  how many jobs to take
-- ARGV[4]  every how manieth claim takes the lowest priority first
-- ARGV[5]  how many groups of ends follow, no job twice, each of:
--   namespace; number of plain ends; number of others;
--   the plain ones, of jobs that completed at first try with nothing to log: id; the
--   value that the incarnation holds the job under; the record of the end;
--   the others: id; value; verdict; pause, ms; when the result expires, ms, or '';
--   the end to record if somebody has cancelled the job, or ''; number of pairs; the
--   pairs: kind of key (e, h, l) and value
-- The verdicts: c completed, f failed, x cancelled, r again, l released.
--
-- Returns {'lost'}, {'old'}, or {'ok', now ms, when the next job is due or '', whether
-- jobs are left to take, indexes of refused ends, claims, jobs, histories, versions}:
-- claims are `ns/id value` of each, separated by spaces; then their records; then the
-- past attempts of those that have any; a version of functions is namespace, number.
local inc, step, want, every = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
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

-- What the ends of a step come to.
local over, ended, stopped, records, drop = {}, {}, {}, {}, {}

-- Records an end that is not plain; `at` is where its arguments begin.
local function conclude(group, field, id, at, stop)
  local attempt, past, member = string.match(ARGV[at + 1], '^(%d+):%d+:(%d):(.*)$')
  local verdict, pause, instead = ARGV[at + 2], ARGV[at + 3], ARGV[at + 5]
  local cancel = stop and instead ~= ''
  if cancel then
    verdict = 'x'
    records[#records + 1] = P .. 'e:' .. field
    records[#records + 1] = instead
  end
  local has_log = false
  for p = at + 7, at + 6 + 2 * ARGV[at + 6], 2 do
    local kind, bytes = ARGV[p], ARGV[p + 1]
    if kind == 'l' or not cancel then
      has_log = has_log or kind == 'l'
      if kind == 'e' and stop then
        bytes = '1' .. string.sub(bytes, 2)
      end
      records[#records + 1] = P .. kind .. ':' .. field
      records[#records + 1] = bytes
    end
  end
  if verdict == 'r' or verdict == 'l' then
    local list = pause == '0' and group.ready or group.later
    list[#list + 1] = pause == '0' and score(member) or now + pause
    list[#list + 1] = member
    if verdict == 'r' or has_log then
      group.attempts[#group.attempts + 1] = id
      group.attempts[#group.attempts + 1] = verdict == 'r' and attempt or attempt - 1
    end
    if verdict == 'r' and past == '1' and not has_log then
      drop[#drop + 1] = P .. 'l:' .. field
    end
    return
  end
  ended[#ended + 1] = field
  group[verdict] = group[verdict] + 1
  if past == '1' then
    group.forget[#group.forget + 1] = id
    drop[#drop + 1] = P .. 'h:' .. field
    if not has_log then
      drop[#drop + 1] = P .. 'l:' .. field
    end
  end
  if verdict == 'f' then
    group.dead[#group.dead + 1] = now
    group.dead[#group.dead + 1] = id
  end
  if ARGV[at + 4] ~= '' then
    call('ZADD', P .. 'expire', ARGV[at + 4], field)
  end
end

-- Records the ends; answers the indexes of those that do not count.
local function complete()
  local fields, starts, groups, plain, at = {}, {}, {}, {}, 6
  for g = 1, ARGV[5] do
    local ns, short, long = ARGV[at], ARGV[at + 1], ARGV[at + 2]
    local slash = ns .. '/'
    local group = {
      ns = ns, first = #fields + 1, ready = {}, later = {}, dead = {}, attempts = {}, forget = {},
      c = 0, f = 0, x = 0,
    }
    at = at + 3
    for _ = 1, short do
      fields[#fields + 1] = slash .. ARGV[at]
      starts[#fields] = at
      plain[#fields] = true
      at = at + 3
    end
    for _ = 1, long do
      fields[#fields + 1] = slash .. ARGV[at]
      starts[#fields] = at
      at = at + 7 + 2 * ARGV[at + 6]
    end
    group.last = #fields
    groups[g] = group
  end
  local held = gather('HMGET', W, fields)
  local stops = call('EXISTS', P .. 'stop') == 1 and gather('SMISMEMBER', P .. 'stop', fields)
  local refused, ends = {}, P .. 'e:'
  for _, group in ipairs(groups) do
    for n = group.first, group.last do
      local b, field = starts[n], fields[n]
      local stop = stops and stops[n] == 1
      if held[n] ~= ARGV[b + 1] then
        refused[#refused + 1] = n
      else
        over[#over + 1] = field
        if stop then
          stopped[#stopped + 1] = field
        end
        if plain[n] then
          ended[#ended + 1] = field
          group.c = group.c + 1
          records[#records + 1] = ends .. field
          records[#records + 1] = stop and '1' .. string.sub(ARGV[b + 2], 2) or ARGV[b + 2]
        else
          conclude(group, field, ARGV[b], b, stop)
        end
      end
    end
  end
  many('HDEL', W, over)
  many('UNLINK', nil, drop)
  many('MSET', nil, records)
  many('SREM', P .. 'stop', stopped)
  if #over > 0 and call('EXISTS', P .. 'g:' .. inc) == 1 then
    many('HDEL', P .. 'g:' .. inc, over)
  end
  for _, group in ipairs(groups) do
    local N = space(group.ns)
    many('HSET', N .. 'a', group.attempts)
    many('HDEL', N .. 'a', group.forget)
    many('ZADD', N .. 'dead', group.dead)
    enqueue(group.ns, group.ready)
    delay(group.ns, group.later)
    for verdict, name in pairs({ c = 'completed', f = 'failed', x = 'cancelled' }) do
      if group[verdict] > 0 then
        call('HINCRBY', N .. 'meta', name, group[verdict])
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
  for _, ns in ipairs(call('ZRANGEBYSCORE', P .. 'dues', '-inf', now, 'LIMIT', 0, 16)) do
    local d = space(ns) .. 'd'
    local members = call('ZRANGEBYSCORE', d, '-inf', now, 'LIMIT', 0, 500)
    local list = {}
    for _, member in ipairs(members) do
      list[#list + 1] = score(member)
      list[#list + 1] = member
    end
    many('ZREM', d, members)
    many('ZREM', space(ns) .. 't', members)
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
  return tonumber(string.sub(member, -2, -2))
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
      local min, max = priority * LANE, '(' .. (priority + 1) * LANE
      local low = call('ZRANGEBYSCORE', q, min, max, 'LIMIT', 0, yields - #pool)
      if #low > 0 then
        call('ZREM', q, unpack(low))
        for _, member in ipairs(low) do
          pool[#pool + 1] = { member, score(member) }
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

-- Takes up to `n` jobs of a namespace into `held`, which is field, value, field,
-- value, ..; answers how many, and whether none are left.
local function take(ns, n, held)
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
    local slash, fresh, ids = ns .. '/', '1:' .. now .. ':0:', {}
    for i, member in ipairs(members) do
      ids[i] = string.sub(member, 1, -4)
    end
    local attempts = call('EXISTS', N .. 'a') == 1 and gather('HMGET', N .. 'a', ids)
    for i, member in ipairs(members) do
      local past = attempts and attempts[i]
      held[#held + 1] = slash .. ids[i]
      held[#held + 1] = past and (past + 1) .. ':' .. now .. ':1:' .. member or fresh .. member
    end
  end
  return #members, call('EXISTS', N .. 'q') == 0
end

-- Takes up to `want` jobs; the namespaces take turns.
local function claim()
  local held, left = {}, want
  while left > 0 do
    local spaces = call('ZRANGE', P .. 'active', 0, 63)
    if #spaces == 0 then
      break
    end
    for i, ns in ipairs(spaces) do
      local taken, dry = take(ns, math.ceil(left / (#spaces - i + 1)), held)
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
  return held
end

local refused, claims = {}, {}
if step == made then
  for index in string.gmatch(made_refused, '%d+') do
    refused[#refused + 1] = tonumber(index)
  end
  for field in string.gmatch(made_claims, '%S+') do
    local value = call('HGET', W, field)
    if value then
      claims[#claims + 1] = field
      claims[#claims + 1] = value
    end
  end
else
  if ARGV[5] ~= '0' then
    refused = complete()
  end
  promote()
  claims = claim()
end

local jobs, histories, versions = {}, {}, {}
if #claims > 0 then
  local fields, keys, spaces, last, prefix = {}, {}, {}, nil, P .. 'j:'
  for i = 1, #claims, 2 do
    local field = claims[i]
    fields[#fields + 1] = field
    keys[#keys + 1] = prefix .. field
    local ns = string.match(field, '^[^/]*')
    if ns ~= last and not spaces[ns] then
      last, spaces[ns] = ns, true
      versions[#versions + 1] = ns
      versions[#versions + 1] = call('HGET', space(ns) .. 'meta', 'functions') or '0'
    end
    if string.find(claims[i + 1], '^%d+:%d+:1') then
      histories[#histories + 1] = call('GET', P .. 'h:' .. field) or ''
    end
  end
  jobs = gather('MGET', nil, keys)
  for i = 1, #keys do
    jobs[i] = jobs[i] or ''
  end
  made_claims = table.concat(fields, ' ')
else
  made_claims = ''
end
if step ~= made then
  call('SET', S, step .. '|' .. made_claims .. '|' .. table.concat(refused, ' '))
end
local left = call('EXISTS', P .. 'active')
if left == 1 then
  ring()
else
  call('DEL', P .. 'wake')
end
local due = call('ZRANGE', P .. 'dues', 0, 0, 'WITHSCORES')[2] or ''
return { 'ok', now, due, left, refused, table.concat(claims, ' '), jobs, histories, versions }
