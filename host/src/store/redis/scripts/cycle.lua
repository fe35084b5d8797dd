-- A host's step: records the ends of attempts, then takes waiting jobs.
--
-- ARGV[1]  incarnation
-- ARGV[2]  number of the step
-- ARGV[3]  how many jobs to take
-- ARGV[4]  every how manieth claim takes the lowest priority first
-- ARGV[5]  what a job is taken to use before any of its namespace has ended, µs
-- ARGV[6]  how many runs the average of a namespace remembers
-- ARGV[7]  how many groups of ends follow, no job twice, each of:
--   namespace; number of plain ends; number of others; how many of all ran, and are not
--   released; how long those ran together, µs;
--   the plain ones, of jobs that completed at first try with nothing to log and nobody to
--   call back: `ns/id`; the record of the end;
--   the others: `ns/id`; value; verdict; pause, ms; when the result expires, ms, or '';
--   the end to record if somebody has cancelled the job, or ''; number of pairs; the
--   pairs: kind of key (e, h, l) and value
-- The verdicts: c completed, f failed, x cancelled, r again, l released.
--
-- Returns {'lost'}, {'old'}, or {'ok', when the next job is due, ms, or '', indexes of refused
-- ends, what was taken ..}: see `taken` in `claims.lua`.
local inc, step, want, every = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local unknown_us, remembered = tonumber(ARGV[5]), tonumber(ARGV[6])
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
even_if_full()
local now = now_ms()
local claims = make_claims(inc, every, unknown_us, now)
local shares = claims.shares

-- Counts the ends of a group, of which `runs` ran for `spent` µs.
local function settle(group, N, runs, spent)
  local ns, share, ended = group.ns, group.share, group.over
  share.held = math.max(share.held - ended, 0)
  share.used, share.runs, share.spent = share.used + spent, share.runs + runs, share.spent + spent
  while share.runs >= remembered do
    share.runs, share.spent = math.floor(share.runs / 2), math.floor(share.spent / 2)
  end
  local cost = claims.cost_of(share)
  call('HSET', N .. 'meta', 'used', share.used, 'held', share.held, 'runs', share.runs,
    'spent', share.spent, 'cost', cost)
  call('ZADD', P .. 'active', 'XX', share.used + share.held * cost, ns)
  shares[ns] = share
end

-- What the ends of a step come to.
local over, ended, stopped, records, drop = {}, {}, {}, {}, {}
local outbox, again = {}, {}

-- Records an end that is not plain; `at` is where its arguments begin.
local function conclude(group, field, at, stop)
  local attempt, past, rank = string.match(ARGV[at + 1], '^(%d+):%d+:(%d):.-(..)$')
  local id = string.sub(field, #group.ns + 2)
  local member = id .. ':' .. rank
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
    again[#again + 1] = { field, verdict == 'r' and attempt or attempt - 1, pause == '0' and 'q' or 'd' }
    if pause == '0' then
      group.ready[#group.ready + 1] = member
      if verdict == 'r' then
        group.since[#group.since + 1] = id
        group.since[#group.since + 1] = now
      end
    else
      group.later[#group.later + 1] = now + pause
      group.later[#group.later + 1] = member
    end
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
  if calls_back(member) then
    outbox[#outbox + 1] = now
    outbox[#outbox + 1] = field
  end
  if past == '1' then
    group.forget[#group.forget + 1] = id
    drop[#drop + 1] = P .. 'h:' .. field
    if not has_log then
      drop[#drop + 1] = P .. 'l:' .. field
    end
  end
  if verdict == 'f' then
    group.dead[#group.dead + 1] = id
    group.dead[#group.dead + 1] = id
  end
  if ARGV[at + 4] ~= '' then
    call('ZADD', P .. 'expire', ARGV[at + 4], field)
  end
end

-- Whether the incarnation holds a job under the attempt that begins a value.
local function holds(value, attempt)
  return value and string.match(value, '^%d+') == string.match(attempt, '^%d+')
end

-- Records the ends; answers the indexes of those that do not count.
local function complete()
  local fields, starts, groups, n, at = {}, {}, {}, 0, 8
  for g = 1, ARGV[7] do
    local ns, short, long = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
    local share = claims.share_of(space(ns))
    local group = {
      ns = ns, share = share, runs = tonumber(ARGV[at + 3]), spent = tonumber(ARGV[at + 4]),
      first = n + 1, plain = n + short, last = n + short + long,
      ready = {}, since = {}, later = {}, dead = {}, attempts = {}, forget = {}, c = 0, f = 0, x = 0,
      -- The ids of all, if it matters that they were parked or have passed gates.
      gone = (share.caps or call('EXISTS', space(ns) .. 'p') == 1) and {},
    }
    groups[g] = group
    at = at + 5
    for _ = 1, short do
      n = n + 1
      fields[n], starts[n] = ARGV[at], at
      at = at + 2
    end
    for _ = 1, long do
      n = n + 1
      fields[n], starts[n] = ARGV[at], at
      at = at + 7 + 2 * ARGV[at + 6]
    end
  end
  -- Most often nobody has taken anything from the incarnation, and it knows what it holds.
  local held = call('HEXISTS', W, '') == 0 and gather('HMGET', W, fields)
  local stops = call('EXISTS', P .. 'stop') == 1 and gather('SMISMEMBER', P .. 'stop', fields)
  local refused, ends, o, e, r = {}, P .. 'e:', 0, 0, 0
  for _, group in ipairs(groups) do
    local before, plain = o, 0
    for i = group.first, group.last do
      local b, field = starts[i], fields[i]
      local stop = stops and stops[i] == 1
      local is_plain = i <= group.plain
      if held and not holds(held[i], is_plain and '1' or ARGV[b + 1]) then
        refused[#refused + 1] = i
      else
        o = o + 1
        over[o] = field
        if group.gone then
          group.gone[#group.gone + 1] = string.sub(field, #group.ns + 2)
        end
        if stop then
          stopped[#stopped + 1] = field
        end
        if is_plain then
          e = e + 1
          ended[e] = field
          plain = plain + 1
          records[r + 1] = ends .. field
          records[r + 2] = stop and '1' .. string.sub(ARGV[b + 1], 2) or ARGV[b + 1]
          r = r + 2
        else
          conclude(group, field, b, stop)
          e, r = #ended, #records
        end
      end
    end
    group.over, group.c = o - before, group.c + plain
  end
  many('HDEL', W, over)
  silence(inc, over)
  many('UNLINK', nil, drop)
  many('MSET', nil, records)
  many('SREM', P .. 'stop', stopped)
  for _, group in ipairs(groups) do
    local N = space(group.ns)
    many('HDEL', N .. 'p', group.gone or {})
    -- What a refused end used is not known apart: it is left out in proportion.
    local part = group.over / (group.last - group.first + 1)
    settle(group, N, math.floor(group.runs * part), math.floor(group.spent * part))
    if group.share.caps then
      make_gates().leave(N, group.gone)
    end
    many('HSET', N .. 'a', group.attempts)
    many('HDEL', N .. 'a', group.forget)
    many('ZADD', N .. 'dead', group.dead)
    many('HSET', N .. 'since', group.since)
    enqueue(group.ns, group.ready)
    delay(group.ns, group.later)
    if (group.share.limit or group.share.caps) and has_waiting(N) then
      activate(group.ns)
    end
    -- To become active may put it forward.
    if #group.ready > 0 or group.share.limit or group.share.caps then
      shares[group.ns] = nil
    end
    for verdict, name in pairs({ c = 'completed', f = 'failed', x = 'cancelled' }) do
      if group[verdict] > 0 then
        call('HINCRBY', N .. 'meta', name, group[verdict])
      end
    end
  end
  tell_all(again)
  if #ended > 0 then
    tell('e', table.concat(ended, ' '))
  end
  call_back(outbox)
  return refused
end

local refused = {}
if step == made then
  for index in string.gmatch(made_refused, '%d+') do
    refused[#refused + 1] = tonumber(index)
  end
  claims.take_again(made_claims)
else
  if ARGV[7] ~= '0' then
    refused = complete()
  end
  claims.promote()
  claims.take(want)
  call('SET', S, step .. '|' .. table.concat(claims.fields, ' ') .. '|' .. table.concat(refused, ' '))
end
local due = call('ZRANGE', P .. 'dues', 0, 0, 'WITHSCORES')[2] or ''
return { 'ok', due, refused, claims.taken() }
