-- The gates of functions with a cap, for the scripts in which jobs come and go; those of
-- a namespace without caps do not even make these functions. A job passes the gates of all
-- capped functions that it names when it is taken, and leaves them when its attempt is
-- over or while it is parked. One that finds a gate shut waits there until a claim finds
-- it open.
local function make_gates()
  -- The functions that a job names; none if its record cannot be read, which its host finds
  -- out. They are the second field of its head (`store/record.rs`).
  local function functions_of(ns, id)
    local J = P .. 'j:' .. ns .. '/' .. id
    -- Most heads are shorter than this, so that one look is enough.
    local front = call('GETRANGE', J, 0, 511)
    local length = tonumber(string.sub(front, 16, 23), 16) or 0
    local head = string.sub(front, 24, 23 + length)
    if #head < length then
      head = call('GETRANGE', J, 23, 22 + length)
    end
    if string.byte(head) ~= 1 then
      return {}
    end
    local is_read, fields = pcall(cmsgpack.unpack, string.sub(head, 2))
    return is_read and type(fields) == 'table' and type(fields[2]) == 'table' and fields[2] or {}
  end

  -- The functions of a value of `in`.
  local function gates_in(N, value)
    local names = {}
    if value == '*' then
      return call('HKEYS', N .. 'caps')
    end
    for name in string.gmatch(value, '%S+') do
      names[#names + 1] = name
    end
    return names
  end

  -- Counts that so many more, or fewer, run of each of these.
  local function count_busy(N, by_name)
    for name, by in pairs(by_name) do
      if call('HINCRBY', N .. 'busy', name, by) <= 0 then
        call('HDEL', N .. 'busy', name)
      end
    end
  end

  -- These jobs are held no longer.
  local function leave_gates(N, ids)
    if #ids == 0 or call('EXISTS', N .. 'in') == 0 then
      return
    end
    local values, gone, less = gather('HMGET', N .. 'in', ids), {}, {}
    for i = 1, #ids do
      local value = values[i]
      if value then
        gone[#gone + 1] = ids[i]
        if string.sub(value, 1, 1) ~= '-' then
          for _, name in ipairs(gates_in(N, value)) do
            less[name] = (less[name] or 0) - 1
          end
        end
      end
    end
    many('HDEL', N .. 'in', gone)
    count_busy(N, less)
  end

  -- A held job is parked: others may pass meanwhile.
  local function leave_gate_to_park(N, id)
    local value = call('HGET', N .. 'in', id)
    if value and string.sub(value, 1, 1) ~= '-' then
      call('HSET', N .. 'in', id, '-' .. value)
      local less = {}
      for _, name in ipairs(gates_in(N, value)) do
        less[name] = -1
      end
      count_busy(N, less)
    end
  end

  -- A parked job goes on, whether there is room or not.
  local function pass_gate_again(N, id)
    local value = call('HGET', N .. 'in', id)
    if value and string.sub(value, 1, 1) == '-' then
      value = string.sub(value, 2)
      call('HSET', N .. 'in', id, value)
      local more = {}
      for _, name in ipairs(gates_in(N, value)) do
        more[name] = 1
      end
      count_busy(N, more)
    end
  end

  -- The capped ones of the functions that a job names, each once, and what `in` says of
  -- them; nothing if there are none.
  local function capped_of(gates, ns, member)
    if is_nameless(member) then
      return gates.names, '*'
    end
    local names, seen = {}, {}
    for _, name in ipairs(functions_of(ns, id_of(member))) do
      if gates.caps[name] and not seen[name] then
        seen[name] = true
        names[#names + 1] = name
      end
    end
    return names, table.concat(names, ' ')
  end

  -- The gates of a namespace, as a claim wants them.
  local function gates_of(N)
    local gates = { caps = {}, busy = {}, names = {}, into = {}, more = {}, shut_out = 0 }
    local caps, busy = call('HGETALL', N .. 'caps'), call('HGETALL', N .. 'busy')
    for i = 1, #caps, 2 do
      gates.names[#gates.names + 1] = caps[i]
      gates.caps[caps[i]], gates.busy[caps[i]] = tonumber(caps[i + 1]), 0
    end
    for i = 1, #busy, 2 do
      gates.busy[busy[i]] = tonumber(busy[i + 1])
    end
    return gates
  end

  -- Whether jobs wait at a gate that is open.
  local function is_open(gates, N, name)
    local at = ':' .. name
    return gates.busy[name] < gates.caps[name]
      and call('EXISTS', N .. 'g0' .. at, N .. 'g1' .. at, N .. 'g2' .. at, N .. 'g3' .. at) > 0
  end

  -- Lets those that wait at open gates stand in the queue again: as many as may pass, and
  -- the first of the lowest priority, in case it is its turn. At most `n` of each gate.
  local function open_gates(gates, N, n)
    if call('EXISTS', N .. 'g') == 0 then
      return
    end
    for _, name in ipairs(gates.names) do
      if is_open(gates, N, name) then
        local members, room = {}, math.min(gates.caps[name] - gates.busy[name], n)
        for lane = 0, 3 do
          if #members < room then
            local first = call('ZRANGE', N .. 'g' .. lane .. ':' .. name, 0, room - #members - 1)
            for i = 1, #first do
              members[#members + 1] = first[i]
            end
          end
        end
        for lane = 3, 0, -1 do
          local last = call('ZRANGE', N .. 'g' .. lane .. ':' .. name, 0, 0)[1]
          if last then
            members[#members + 1] = last
            break
          end
        end
        for i = 1, #members do
          ungate(N, members[i])
        end
        add('q', N, members)
      end
    end
  end

  -- Lets a job pass, or leaves it at the first gate that is shut; answers whether it passed.
  local function pass_gates(gates, ns, N, member)
    local names, value = capped_of(gates, ns, member)
    local id = id_of(member)
    for _, name in ipairs(names) do
      if gates.busy[name] >= gates.caps[name] then
        call('ZADD', N .. 'g' .. lane_of(member) .. ':' .. name, id, member)
        call('ZADD', N .. 'g', id, member)
        call('HSET', N .. 'gate', id, name)
        gates.shut_out = gates.shut_out + 1
        return false
      end
    end
    for _, name in ipairs(names) do
      gates.busy[name] = gates.busy[name] + 1
      gates.more[name] = (gates.more[name] or 0) + 1
    end
    if #names > 0 then
      gates.into[#gates.into + 1] = id
      gates.into[#gates.into + 1] = value
    end
    return true
  end

  -- Notes who has passed; answers whether jobs wait at a gate that is still open.
  local function close_gates(gates, N)
    many('HSET', N .. 'in', gates.into)
    count_busy(N, gates.more)
    if call('EXISTS', N .. 'g') == 1 then
      for _, name in ipairs(gates.names) do
        if is_open(gates, N, name) then
          return true
        end
      end
    end
    return false
  end

  -- The caps of a namespace have changed from those of these functions: lets all that wait at
  -- gates wait in the queue, and counts anew what runs.
  local function begin_gates(ns, before)
    local N = space(ns)
    for _, name in ipairs(before) do
      for lane = 0, 3 do
        local q, shut = N .. 'q' .. lane, N .. 'g' .. lane .. ':' .. name
        if call('EXISTS', shut) == 1 then
          call('ZUNIONSTORE', q, 2, q, shut)
          call('UNLINK', shut)
        end
      end
    end
    call('UNLINK', N .. 'g', N .. 'gate', N .. 'busy', N .. 'in')
    local gates, slash = gates_of(N), ns .. '/'
    if #gates.names == 0 then
      call('HDEL', N .. 'meta', 'caps')
    else
      call('HSET', N .. 'meta', 'caps', 1)
      for _, inc in ipairs(call('ZRANGE', P .. 'hosts', 0, -1)) do
        local W = P .. 'w:' .. inc
        for _, field in ipairs(call('HKEYS', W)) do
          if string.sub(field, 1, #slash) == slash then
            local rank = string.sub(call('HGET', W, field), -2)
            local member = string.sub(field, #slash + 1) .. ':' .. rank
            local names, value = capped_of(gates, ns, member)
            if #names > 0 then
              local is_parked = call('HEXISTS', N .. 'p', id_of(member)) == 1
              call('HSET', N .. 'in', id_of(member), (is_parked and '-' or '') .. value)
              for _, name in ipairs(is_parked and {} or names) do
                call('HINCRBY', N .. 'busy', name, 1)
              end
            end
          end
        end
      end
    end
    if has_waiting(N) then
      activate(ns)
    end
  end

  return {
    of = gates_of, open = open_gates, pass = pass_gates, close = close_gates, begin = begin_gates,
    leave = leave_gates, park = leave_gate_to_park, go_on = pass_gate_again,
  }
end
