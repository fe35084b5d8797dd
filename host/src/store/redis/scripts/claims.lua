-- Takes waiting jobs for a host: for the scripts that do, which make these functions only
-- when they are to.
local function make_claims(inc, every, unknown_us, now)
  local W = P .. 'w:' .. inc

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

  -- The shares that this script has counted and nobody else has touched since.
  local shares = {}

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

  -- What the claims come to: fields, the values that they are held under, the
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
  local function take_jobs(want)
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

  -- Takes up those that were taken before, as far as they are still held.
  local function take_again(list)
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

  -- What was taken: the fields and values of all, each separated by spaces; their records; the
  -- past attempts of those that have any; and of each of their namespaces the version of its
  -- functions. Before them the time, and whether jobs are left to take, of which a sleeping
  -- host is told.
  local function taken()
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
    local claims = { table.concat(fields, ' '), table.concat(values, ' ') }
    return now, left, claims, jobs, histories, versions
  end

  return {
    cost_of = cost_of, fields = fields, promote = promote, share_of = share_of, shares = shares,
    take = take_jobs, take_again = take_again, taken = taken,
  }
end
