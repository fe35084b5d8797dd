-- Accepts jobs, in order.
--
-- ARGV[1]  namespace
-- ARGV[2]  id of this batch: a batch that comes again is answered as it was
-- ARGV[3]  how long to remember that, ms
-- ARGV[4]  the id of the job that posts them, or ''
-- ARGV[5]  the root of their tree, or ''
-- ARGV[6]  how many jobs that may have
-- ARGV[7]  '', or a host that takes jobs as they come: incarnation, how many, and what ARGV[4]
--          and ARGV[5] of `cycle.lua` are, separated by spaces
-- ARGV[8]  how many values each job has, 1, 2, 4 or 7, the first so many of:
--   record (rank, head, message); its key among its parent's posts, or '';
--   delay in ms, 0 if it is not told; idempotency key or '', and none if it is not told;
--   of a job of another store: where it came from; the number of its last attempt
--   or ''; its past attempts
--
-- Returns the ids, `first-last` if all are new, else each, separated by spaces; if a host
-- takes jobs, {ids, what was taken ..}: see `taken` in `claims.lua`. Or `over` if the parent
-- has ended, is to stop, or is unknown; or `tree N` if the tree has N jobs and so no room for
-- these; or `reused PLACE ID ..` if posts, by their places from 0, have the idempotency keys
-- of other jobs, or, where the id is 0, of other posts before them. The first write is one
-- that Redis refuses when it is out of memory, and then nothing is written; a batch that comes
-- again is never refused.
local ns, batch, parent, width = ARGV[1], P .. 'b:' .. ARGV[2], ARGV[4], tonumber(ARGV[8])
local root, room = ARGV[5], tonumber(ARGV[6])
local inc, wanted, every, unknown_us = string.match(ARGV[7], '^(%S+) (%d+) (%d+) (%d+)$')

-- Answers with these ids; a host that has lost its lease takes nothing.
local function answer_with(ids, taken_before)
  if not inc or not call('ZSCORE', P .. 'hosts', inc) then
    return ids, ''
  end
  local claims = make_claims(inc, tonumber(every), tonumber(unknown_us), now_ms())
  if taken_before then
    claims.take_again(taken_before)
  else
    claims.take(tonumber(wanted))
  end
  return { ids, claims.taken() }, table.concat(claims.fields, ' ')
end

local answered = call('GET', batch)
if answered then
  even_if_full()
  return (answer_with(string.match(answered, '^([^|]*)|?(.*)$')))
end
local K = parent ~= '' and P .. 'k:' .. ns .. '/' .. parent
-- Its children so far: key -> id.
local posted = {}
if K then
  local field = ns .. '/' .. parent
  -- It is there, its end is not.
  if call('EXISTS', P .. 'j:' .. field, P .. 'e:' .. field) ~= 1
    or call('SISMEMBER', P .. 'stop', field) == 1 then
    return 'over'
  end
  if call('EXISTS', K) == 1 then
    local names = {}
    for i = 10, #ARGV, width do
      names[#names + 1] = ARGV[i]
    end
    local ids = gather('ZMSCORE', K, names)
    for i = 1, #names do
      posted[names[i]] = ids[i]
    end
  end
end
local N, now, prefix = space(ns), now_ms(), P .. 'j:' .. ns .. '/'
local at = string.format('%013.0f', now)
local before = tonumber(call('HGET', N .. 'meta', 'last') or 0)
local last = before
local ids, records, later = {}, {}, {}
local attempts, known, children, reused = {}, {}, {}, {}
local n, r = 0, 0

-- The id under a key, also if it was given a moment ago.
local function under(key)
  return known[key] or call('GET', key)
end

-- The functions of a job and the type of its message, from its record, and where that
-- message begins.
local function kind_of(record)
  local from = 11 + tonumber(string.sub(record, 3, 10), 16)
  -- Its first byte is the version of the record.
  local is_read, head = pcall(cmsgpack.unpack, string.sub(record, 12, from - 1))
  return is_read and head[1] .. '\n' .. table.concat(head[2], '\n'), from
end

-- What was posted under a key in this call: id -> record.
local own = {}

-- Whether a post is of another job than the one that has its key. One that is gone, or that
-- cannot be read, is taken for the same.
local function is_other(id, record)
  local kind, from = kind_of(record)
  local first = own[id]
  if not first then
    local length = tonumber(call('GETRANGE', prefix .. id, 15, 22), 16)
    if not length then
      return false
    end
    -- It is not read if its message has another length: that may be large.
    if call('STRLEN', prefix .. id) - 23 - length ~= #record - from + 1 then
      return true
    end
    first = call('GETRANGE', prefix .. id, 13, -1)
  end
  local of_first, at = kind_of(first)
  return of_first and (of_first ~= kind or string.sub(first, at) ~= string.sub(record, from))
end

local function remember(key, id)
  known[key] = id
  records[r + 1], records[r + 2] = key, id
  r = r + 2
end

-- What is to stand in the queues: by priority, first ids and runs. And the run that goes
-- on: its rank, and its first and last id.
local lanes, more = {}, 0
local run_rank, run_first, run_last

local function end_run()
  if run_rank then
    local priority = string.sub(run_rank, 1, 1)
    local lane = lanes[priority] or {}
    lanes[priority] = lane
    lane[#lane + 1], lane[#lane + 2] = run_first, run_of(run_first, run_last, run_rank)
    more = more + run_last - run_first
  end
end

-- Lets the job that was accepted last wait.
local function wait(rank)
  if rank ~= run_rank or run_last ~= last - 1 then
    end_run()
    run_rank, run_first = rank, last
  end
  run_last = last
end

-- The ids of new jobs, as far as there may be any.
local next_ids = {}
add_ids(next_ids, '', before + 1, before + (#ARGV - 8) / width)

-- Most of all jobs are plain, and come by the million: each step counts.
if width == 1 then
  n = #ARGV - 8
  for i = 1, n do
    local record = ARGV[i + 8]
    last = last + 1
    records[r + 1], records[r + 2] = prefix .. next_ids[i], at .. record
    r = r + 2
    wait(string.sub(record, 1, 2))
  end
end

for i = 9, width > 1 and #ARGV or 0, width do
  local record, name, delayed, key = ARGV[i], K and ARGV[i + 1], '0', false
  if width > 2 then
    delayed, key = ARGV[i + 2], ARGV[i + 3] ~= '' and N .. 'u:' .. ARGV[i + 3]
  end
  local origin = width == 7 and N .. 'o:' .. ARGV[i + 4]
  local id = origin and under(origin) or name and posted[name]
  if not id then
    id = key and under(key)
    if id and not origin and is_other(id, record) then
      reused[#reused + 1] = n .. ' ' .. (own[id] and 0 or id)
    end
    if not id then
      last = last + 1
      id = next_ids[last - before]
      if key then
        remember(key, id)
        own[id] = record
      end
      records[r + 1], records[r + 2] = prefix .. id, at .. record
      r = r + 2
      local rank = string.sub(record, 1, 2)
      if delayed == '0' then
        wait(rank)
      else
        later[#later + 1] = now + delayed
        later[#later + 1] = id .. ':' .. rank
      end
      if K then
        children[#children + 1] = id
        children[#children + 1] = name ~= '' and name or id
        if name ~= '' then
          posted[name] = id
        end
      end
      if origin and ARGV[i + 5] ~= '' then
        attempts[#attempts + 1] = id
        attempts[#attempts + 1] = ARGV[i + 5]
        records[r + 1], records[r + 2] = P .. 'h:' .. ns .. '/' .. id, ARGV[i + 6]
        r = r + 2
      end
    end
    if origin then
      remember(origin, id)
    end
  end
  n = n + 1
  ids[n] = id
end
end_run()
if #reused > 0 then
  return 'reused ' .. table.concat(reused, ' ')
end
local tree = root ~= '' and tonumber(call('HGET', N .. 'trees', root) or 1)
if tree and last > before and tree + last - before > room then
  return 'tree ' .. tree
end
local answer = last - before == n and (before + 1) .. '-' .. last or table.concat(ids, ' ')
if r > 0 then
  call('HSET', N .. 'meta', 'last', last)
  call('HINCRBY', N .. 'meta', 'posted', last - before)
  call('SADD', P .. 'ns', ns)
  many('MSET', nil, records)
  many('HSET', N .. 'a', attempts)
  many('ZADD', K, children)
  if tree and last > before then
    call('HSET', N .. 'trees', root, tree + last - before)
  end
  for priority, lane in pairs(lanes) do
    many('ZADD', N .. 'q' .. priority, lane)
  end
  if more > 0 then
    call('HINCRBY', N .. 'meta', 'more', more)
  end
  if run_rank then
    activate(ns)
  end
  delay(ns, later)
end
local reply, taken = answer_with(answer)
call('SET', batch, taken == '' and answer or answer .. '|' .. taken, 'PX', ARGV[3])
return reply
