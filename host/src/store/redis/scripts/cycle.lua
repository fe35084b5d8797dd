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
-- Returns {'lost'}, {'old'}, or {'ok', now ms, when the next job is due or '', whether
-- jobs are left to take, indexes of refused ends, claims, jobs, histories, versions}:
-- claims are the `ns/id` of all and the values of all, each separated by spaces; then
-- come their records; then the past attempts of those that have any; a version of
-- functions is namespace, number.
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

-- What decides about a namespace's share, as its `meta` has it.
local function share_of(N)
  local m = call('HMGET', N .. 'meta', 'used', 'held', 'runs', 'spent', 'limit', 'caps', 'claims', 'functions')
  return {
    used = tonumber(m[1] or 0), held = tonumber(m[2] or 0), runs = tonumber(m[3] or 0),
    spent = tonumber(m[4] or 0), limit = m[5], caps = m[6], claims = tonumber(m[7] or 0),
    functions = m[8] or '0',
  }
end

-- What a job of it probably uses, µs.
local function cost_of(share)
  return share.runs > 0 and math.max(math.floor(share.spent / share.runs), 1) or unknown_us
end

-- The shares that this step has counted and nobody else has touched since.
local shares = {}

-- Counts the ends of a group, of which `runs` ran for `spent` µs.
local function settle(group, N, runs, spent)
  local ns, share, ended = group.ns, group.share, group.over
  share.held = math.max(share.held - ended, 0)
  share.used, share.runs, share.spent = share.used + spent, share.runs + runs, share.spent + spent
  while share.runs >= remembered do
    share.runs, share.spent = math.floor(share.runs / 2), math.floor(share.spent / 2)
  end
  local cost = cost_of(share)
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
    local share = share_of(space(ns))
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

-- Moves what is due to the queues, a bounded amount.
local function promote()
  for _, ns in ipairs(call('ZRANGEBYSCORE', P .. 'dues', '-inf', now, 'LIMIT', 0, 16)) do
    local d = space(ns) .. 'd'
    local scored = call('ZRANGEBYSCORE', d, '-inf', now, 'WITHSCORES', 'LIMIT', 0, 500)
    local members, since = {}, {}
    for i = 1, #scored, 2 do
      members[#members + 1] = scored[i]
      since[i], since[i + 1] = id_of(scored[i]), scored[i + 1]
    end
    many('HSET', space(ns) .. 'since', since)
    many('ZREM', d, members)
    many('ZREM', space(ns) .. 't', members)
    enqueue(ns, members)
    shares[ns] = nil
    local first = call('ZRANGE', d, 0, 0, 'WITHSCORES')[2]
    if first then
      call('ZADD', P .. 'dues', first, ns)
    else
      call('ZREM', P .. 'dues', ns)
    end
  end
end

-- Takes up to `n` jobs from the front of a queue, and adds their ids and ranks to these.
local function shift(N, lane, n, ids, ranks)
  local q, count, more = N .. 'q' .. lane, 0, 0
  -- A few runs are most often enough, or all there is; else more are read at a time.
  local at_once = 1
  repeat
    at_once = 4 * at_once
    local members = call('ZRANGE', q, 0, at_once - 1)
    local gone, rest = 0, nil
    for i = 1, #members do
      if count == n then
        break
      end
      local first, last, rank = span_of(members[i])
      local to = math.min(last, first + n - count - 1)
      add_ids(ids, '', first, to)
      for k = #ranks + 1, #ids do
        ranks[k] = rank
      end
      count = count + to - first + 1
      gone, more = gone + 1, more + first - last
      if to < last then
        rest, more = { to + 1, run_of(to + 1, last, rank) }, more + last - to - 1
      end
    end
    call('ZREMRANGEBYRANK', q, 0, gone - 1)
    if rest then
      call('ZADD', q, rest[1], rest[2])
    end
  until count == n or #members < at_once
  if more ~= 0 then
    call('HINCRBY', N .. 'meta', 'more', more)
  end
end

-- How many jobs wait in a queue; if there are `n` or more, some such number.
local function size_of(q, n)
  local size = call('ZCARD', q)
  if size > 0 and size < n then
    size = 0
    for _, member in ipairs(call('ZRANGE', q, 0, -1)) do
      local first, last = span_of(member)
      size = size + last - first + 1
    end
  end
  return size
end

-- Takes up to `n` jobs in order, where every `every`th claim takes the oldest of the lowest
-- priority that waits; answers their ids and ranks.
local function pop(N, n, claims)
  local ids, ranks, high, low = {}, {}, nil, nil
  for lane = 0, 3 do
    if call('EXISTS', N .. 'q' .. lane) == 1 then
      high, low = high or lane, lane
    end
  end
  if high == low then
    if high then
      shift(N, high, n, ids, ranks)
    end
    return ids, ranks
  end
  local sizes, order, counts = {}, {}, { [0] = 0, 0, 0, 0 }
  for lane = 0, 3 do
    sizes[lane] = size_of(N .. 'q' .. lane, n)
  end
  for k = 1, n do
    local lane, last, by = 0, 3, 1
    if (claims + k) % every == 0 then
      lane, last, by = 3, 0, -1
    end
    while lane ~= last and sizes[lane] == counts[lane] do
      lane = lane + by
    end
    if sizes[lane] == counts[lane] then
      break
    end
    counts[lane] = counts[lane] + 1
    order[k] = lane
  end
  local lanes, next = {}, { [0] = 0, 0, 0, 0 }
  for lane = 0, 3 do
    lanes[lane] = { {}, {} }
    if counts[lane] > 0 then
      shift(N, lane, counts[lane], lanes[lane][1], lanes[lane][2])
    end
  end
  for k, lane in ipairs(order) do
    next[lane] = next[lane] + 1
    ids[k], ranks[k] = lanes[lane][1][next[lane]], lanes[lane][2][next[lane]]
  end
  return ids, ranks
end

-- What the claims of a step come to: fields, the values that they are held under, the
-- keys of their records, and of the past attempts of those that have any.
local fields, values, keys, pasts, versions = {}, {}, {}, {}, {}

-- The most jobs that a claim leaves at shut gates, of one namespace: a millisecond or two.
local MOST_SHUT_OUT = 500

-- Gives each of these namespaces, of which the first is the next, so many of `n` claims that
-- it comes to the same as if each claim went to the one with the smallest virtual time.
local function allot(list, n)
  for _, one in ipairs(list) do
    one.cost = cost_of(one.share)
    one.at, one.n = one.share.used + one.share.held * one.cost, 0
  end
  if #list == 1 then
    list[1].n = n
    return
  end
  table.sort(list, function(a, b) return a.at < b.at or a.at == b.at and a.ns < b.ns end)
  -- As many at once as surely are theirs: up to the level that all would reach if claims
  -- could be cut in pieces, and each took at most one more than its piece.
  local rates, sum, level = 0, n - #list, nil
  if sum > 0 then
    for i, one in ipairs(list) do
      rates, sum = rates + 1 / one.cost, sum + one.at / one.cost
      level = sum / rates
      if not list[i + 1] or list[i + 1].at >= level then
        break
      end
    end
    for _, one in ipairs(list) do
      if one.at < level then
        one.n = math.min(math.ceil((level - one.at) / one.cost), n)
        one.at = one.at + one.n * one.cost
        n = n - one.n
      end
    end
  end
  for _ = 1, n do
    local first = list[1]
    for i = 2, #list do
      if list[i].at < first.at then
        first = list[i]
      end
    end
    first.n, first.at = first.n + 1, first.at + first.cost
  end
end

-- Takes up to `n` jobs of a namespace; answers how many, and whether there may be more.
local function take(ns, share, n)
  local N = space(ns)
  local room = share.limit and share.limit - (share.held - call('HLEN', N .. 'p'))
  if room and room <= 0 then
    return 0, false
  end
  n = math.min(n, room or n)
  local gate = share.caps and make_gates()
  local gates = gate and gate.of(N)
  local ids, ranks, count = {}, {}, 0
  while count < n do
    if gate then
      -- Again each time: what was let in may have found another gate shut.
      gate.open(gates, N, n - count)
    end
    local room_left = n - count
    local popped, its_ranks = pop(N, room_left, share.claims + count)
    local idle, has_functions, last_rank, is_idle = {}, nil, nil, false
    for i = 1, #popped do
      local id, rank = popped[i], its_ranks[i]
      -- They are alike in long runs.
      if rank ~= last_rank then
        last_rank, is_idle = rank, false
        if is_nameless(rank) then
          has_functions = has_functions or call('EXISTS', N .. 'f')
          is_idle = has_functions == 0
        end
      end
      if is_idle then
        idle[#idle + 1] = id .. ':' .. rank
      elseif not gate or gate.pass(gates, ns, N, id .. ':' .. rank) then
        count = count + 1
        ids[count], ranks[count] = id, rank
      end
    end
    add('i', N, idle)
    if #popped == 0 or (gate and gates.shut_out >= MOST_SHUT_OUT) or (not gate and #popped < room_left) then
      break
    end
  end
  local is_gate_open = gate and gate.close(gates, N)
  if count > 0 then
    share.held, share.claims = share.held + count, share.claims + count
    call('HSET', N .. 'meta', 'claims', share.claims, 'held', share.held)
    if share.runs == 0 then
      call('HSET', N .. 'meta', 'cost', unknown_us)
    end
    versions[#versions + 1] = ns
    versions[#versions + 1] = share.functions
    local slash, records = ns .. '/', P .. 'j:' .. ns .. '/'
    if call('EXISTS', N .. 'since') == 1 then
      many('HDEL', N .. 'since', ids)
    end
    local attempts = call('EXISTS', N .. 'a') == 1 and gather('HMGET', N .. 'a', ids)
    local at, last_rank, fresh = #fields, nil, nil
    for i = 1, count do
      local past, rank = attempts and attempts[i], ranks[i]
      fields[at + i], keys[at + i] = slash .. ids[i], records .. ids[i]
      if past then
        values[at + i] = (past + 1) .. ':' .. now .. ':1:' .. rank
        pasts[#pasts + 1] = P .. 'h:' .. slash .. ids[i]
      else
        if rank ~= last_rank then
          last_rank, fresh = rank, '1:' .. now .. ':0:' .. rank
        end
        values[at + i] = fresh
      end
    end
  end
  return count, count ~= room and (is_gate_open or queues('q', N) > 0)
end

-- Takes up to `want` jobs, each of the namespace that has used the least.
local function claim()
  local left, done = want, {}
  while left > 0 do
    local list = {}
    for _, ns in ipairs(call('ZRANGE', P .. 'active', 0, 63)) do
      if not done[ns] and #list < left then
        list[#list + 1] = { ns = ns, share = shares[ns] or share_of(space(ns)) }
      end
    end
    if #list == 0 then
      break
    end
    allot(list, left)
    for _, one in ipairs(list) do
      if one.n > 0 then
        local taken, has_more = take(one.ns, one.share, one.n)
        left = left - taken
        if has_more then
          -- One that has more and took less leaves its jobs at gates, and is done for now.
          done[one.ns] = taken < one.n
          call('ZADD', P .. 'active', one.share.used + one.share.held * cost_of(one.share), one.ns)
        else
          rest(one.ns, one.share.used)
        end
      end
    end
  end
  local held = {}
  for i = 1, #fields do
    held[2 * i - 1], held[2 * i] = fields[i], values[i]
  end
  many('HSET', W, held)
  if #fields > 0 and call('EXISTS', P .. 'watch') == 1 then
    local news = {}
    for i = 1, #fields do
      news[i] = { fields[i], string.match(values[i], '^%d+'), 'r' }
    end
    tell_all(news)
  end
end

-- The claims of a step that was made before, as far as they are still held.
local function claimed_before(list)
  for field in string.gmatch(list, '%S+') do
    local value = call('HGET', W, field)
    if value then
      local n = #fields + 1
      fields[n], values[n], keys[n] = field, value, P .. 'j:' .. field
      if string.find(value, '^%d+:%d+:1') then
        pasts[#pasts + 1] = P .. 'h:' .. field
      end
    end
  end
end

local refused, claimed = {}, nil
if step == made then
  for index in string.gmatch(made_refused, '%d+') do
    refused[#refused + 1] = tonumber(index)
  end
  claimed_before(made_claims)
  claimed = table.concat(fields, ' ')
else
  if ARGV[7] ~= '0' then
    refused = complete()
  end
  promote()
  claim()
  claimed = table.concat(fields, ' ')
  call('SET', S, step .. '|' .. claimed .. '|' .. table.concat(refused, ' '))
end
local jobs, histories = {}, {}
if #fields > 0 then
  jobs = gather('MGET', nil, keys)
  -- A nil ends a list of Lua's.
  for i = 1, #keys do
    jobs[i] = jobs[i] or ''
  end
  for i = 1, #pasts do
    histories[i] = call('GET', pasts[i]) or ''
  end
end
local left = call('EXISTS', P .. 'active')
if left == 1 then
  ring()
else
  call('DEL', P .. 'wake')
end
local due = call('ZRANGE', P .. 'dues', 0, 0, 'WITHSCORES')[2] or ''
local claims = { claimed, table.concat(values, ' ') }
return { 'ok', now, due, left, refused, claims, jobs, histories, versions }
