-- What every script begins with. KEYS[1] is the prefix of all keys, `{skep}:`, whose
-- hash tag keeps them in one slot; the names of other keys are made from it here.
--
--   meta        HASH    schema, id (of this store), events (the last one's number), clock
--                       (what the namespace had used that left `active` last), tokens (a
--                       version of them all, like no other)
--   tokens      HASH    id of an access token -> `expires ms or 0:namespace or *:record`
--   hosts       ZSET    incarnation -> when its lease ends, ms
--   w:<inc>     HASH    what an incarnation holds: `ns/id` -> `attempt:claimed ms:past:rank`
--                       (with the member for the rank in layout 1);
--                       and '' as long as nobody has taken any of it away. Its value is a
--                       filler, too long for the encoding of small hashes, which is
--                       searched from its beginning
--   s:<inc>     STRING  the last step of an incarnation: `number|ns/id ..|refused ..`
--   g:<inc>     HASH    what its jobs say while they run: `ns/id` -> `lines:progress`, the
--                       number of log lines so far and the record of the progress or ''
--   active      ZSET    namespaces with jobs to take -> virtual time, µs: the smallest goes
--                       next (`store/fair.rs`)
--   dues        ZSET    namespaces with delayed jobs -> when the first is due, ms
--   stop        SET     running jobs that somebody wants stopped: `ns/id`
--   expire      ZSET    `ns/id` -> when its result is dropped, ms
--   out         ZSET    `ns/id` -> when its callback is tried next, ms
--   watch       ZSET    jobs that somebody watches: `ns/id` -> until when, ms
--   wake        LIST    at most one token, there while a sleeping host may find work
--   events      STREAM  what all hosts want to know at once; entries are numbered n-1
--   ns          SET     the namespaces
--   b:<batch>   STRING  the answer to a submit, for some seconds
--   c:<digest>  STRING  content: a component or a model; what is beyond its first chunk is in
--                       c:<digest>:1, c:<digest>:2, ..; they expire unless something names it
--   refs        HASH    digest of a model -> how many namespaces have it
--   n:<ns>:meta HASH    last (id), claims, paused, functions, models (versions of each whole),
--                       model_bytes; posted,
--                       completed, failed, cancelled, purged, and what the first four
--                       were at the last rezero (0:posted, ..); used, µs; held (by hosts);
--                       runs and spent, µs, of which cost is the average; limit (of jobs
--                       that run at once); caps (1 if a function has one); more (how many
--                       more jobs wait in q0 to q3 than those have members)
--   n:<ns>:q0 .. q3 ZSET  members that wait, and runs of such, by priority -> first id
--   n:<ns>:i0 .. i3 ZSET  the same, of jobs that name no function while there is none
--   n:<ns>:aside ZSET   the same of all priorities, of jobs that cannot be read
--   n:<ns>:g    ZSET    the same of all priorities, of jobs that wait at the gate of a function
--                       of which as many run as may; gate HASH id -> function; g0:<function>
--                       .. g3:<function> ZSET  the same by gate and priority
--   n:<ns>:caps HASH    function -> how many jobs of it may run at once; busy: how many do
--   n:<ns>:in   HASH    id -> the capped functions that a held job names, separated by spaces,
--                       or `*` for all; while it is parked `-` is before them
--   n:<ns>:d    ZSET    members that are delayed -> when they are due, ms
--   n:<ns>:t    ZSET    the same members -> id
--   n:<ns>:since HASH   id -> when it became due, ms, of jobs that wait and are due since
--                       they were delayed or tried
--   n:<ns>:m    HASH    id -> `mover:due ms or 0:member`, of jobs held for another store
--   n:<ns>:a    HASH    id -> attempts so far, of jobs with a history or a log
--   n:<ns>:p    HASH    id -> `number:id id ..`, of running jobs that wait for others: the
--                       number tells one wait of the job's holder from its next
--   n:<ns>:trees HASH   id of a root -> how many jobs its tree has had, from its first post
--                       on; stays as their records do, since a tree may go on without its
--                       root
--   n:<ns>:dead ZSET    id -> the same, of failed jobs; what older hosts put there is put in
--                       order by `list`
--   n:<ns>:f    HASH    function -> `place:version:ms:record`, of those that are bound;
--                       fl: last version; fp: place; fv: `name:version` -> record
--   n:<ns>:mo   HASH    model -> `version:ms:digest:record` of its newest version; ml: last
--                       version, also of those that were removed; mv: `name:version` -> the
--                       same of all that are kept; mb: digest -> `versions:bytes`
--   n:<ns>:u:<key>, o:<origin>, x:<key>  STRING  the id of an idempotency key; that of a
--                       job of another store; stored data
--   j:<ns>/<id>, e:, h:, l:  STRING  a job, its end, its past attempts, its log
--   v:<ns>/<id> STRING  the log of the attempt that runs, as far as it was reported
--   k:<ns>/<id> ZSET    the jobs that it has posted: key, or id if it has none -> id
--   cb:<ns>/<id> HASH   number -> record of each try of its callback; '' -> the number of
--                       the newest one, noted or not
--
-- A member is `id:rank`; a rank is a priority and what kind of job it is: `.`, or `*` if
-- it names no function; `!` and `+` are the same of jobs with a callback. A run is
-- `first-last:rank`: jobs of one rank whose ids follow each other, accepted together, none of
-- which was taken or delayed since. It costs what one job does. Numbers stay
-- below 10^14, which Lua writes out in full; virtual times may be larger, and are only
-- given to Redis as numbers, which it writes with 17 digits.
local P = KEYS[1]
local call = redis.call

-- Lua refuses to unpack more than about 8,000 values.
local CHUNK = 4000

local function space(ns)
  return P .. 'n:' .. ns .. ':'
end

-- Adds the ids from one to another to a list, each after a prefix. To write each number was a
-- twelfth of Redis's CPU of a job: one is written for ten ids.
local DIGITS = { [0] = '0', '1', '2', '3', '4', '5', '6', '7', '8', '9' }
local function add_ids(list, prefix, from, to)
  local n, tens = #list, nil
  for id = from, to do
    local digit = id % 10
    if digit == 0 or not tens then
      tens = id < 10 and prefix or string.format('%s%d', prefix, (id - digit) / 10)
    end
    n = n + 1
    list[n] = tens .. DIGITS[digit]
  end
end

-- The id of a member, its priority, and whether it names no function.
local function id_of(member)
  return string.sub(member, 1, -4)
end

local function lane_of(member)
  return string.sub(member, -2, -2)
end

local function is_nameless(member)
  local kind = string.sub(member, -1)
  return kind == '*' or kind == '+'
end

-- Whether a member's job calls back when it has ended.
local function calls_back(member)
  local kind = string.sub(member, -1)
  return kind == '!' or kind == '+'
end

-- When Redis is out of memory it refuses a script whose first write takes some. What
-- must go on even then, so that hosts live and jobs end, begins with one that does not.
local function even_if_full()
  call('UNLINK', P .. 'none')
end

-- Redis's clock is the only one that counts.
local function now_ms()
  local time = call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Calls with any number of arguments; `key` may be nil.
local function many(command, key, args)
  for i = 1, #args, CHUNK do
    local to = math.min(i + CHUNK - 1, #args)
    if key then
      call(command, key, unpack(args, i, to))
    else
      call(command, unpack(args, i, to))
    end
  end
end

-- Reads with any number of arguments.
local function gather(command, key, args)
  local all = {}
  for i = 1, #args, CHUNK do
    local to = math.min(i + CHUNK - 1, #args)
    local part = key and call(command, key, unpack(args, i, to)) or call(command, unpack(args, i, to))
    if #args <= CHUNK then
      return part
    end
    for n = 1, to - i + 1 do
      all[i + n - 1] = part[n]
    end
  end
  return all
end

-- Leaves the token that wakes one sleeping host; a host that takes jobs and leaves
-- some rings again.
local function ring()
  if call('LLEN', P .. 'wake') == 0 then
    call('RPUSH', P .. 'wake', '1')
  end
end

-- Tells all hosts. Numbered, so that a reader knows when it has missed something.
local function tell(...)
  local n = call('HINCRBY', P .. 'meta', 'events', 1)
  call('XADD', P .. 'events', 'MAXLEN', '~', '4096', n .. '-1', ...)
end

-- Lets a callback of each of these be sent; `list` is ms, `ns/id`, ms, `ns/id`, ..
local function call_back(list)
  if #list > 0 then
    many('ZADD', P .. 'out', list)
    tell('c', list[1])
  end
end

-- Tells those who watch jobs what happens to them; `news` is a list of {`ns/id`, attempt,
-- kind, more}, of which only those that somebody watches are told. The kinds: r it runs,
-- p it is parked, q it waits for a host, d for its time; g how far it is, and l what it
-- logged; m something that is too much to be told.
local function tell_all(news)
  if #news == 0 or call('EXISTS', P .. 'watch') == 0 then
    return
  end
  local fields, now, told = {}, now_ms(), {}
  for i = 1, #news do
    fields[i] = news[i][1]
  end
  local untils = gather('ZMSCORE', P .. 'watch', fields)
  for i = 1, #news do
    if untils[i] and tonumber(untils[i]) > now then
      told[#told + 1] = 'n'
      told[#told + 1] = news[i][1] .. ' ' .. news[i][2] .. ' ' .. news[i][3] .. ' ' .. (news[i][4] or '')
    end
  end
  for i = 1, #told, CHUNK do
    tell(unpack(told, i, math.min(i + CHUNK - 1, #told)))
  end
end

-- Drops what jobs have said while an incarnation ran them: their attempt is over.
local function silence(inc, fields)
  local G = P .. 'g:' .. inc
  if #fields > 0 and call('EXISTS', G) == 1 then
    local said, logs = gather('HMGET', G, fields), {}
    for i = 1, #fields do
      if said[i] and string.sub(said[i], 1, 2) ~= '0:' then
        logs[#logs + 1] = P .. 'v:' .. fields[i]
      end
    end
    many('HDEL', G, fields)
    many('UNLINK', nil, logs)
  end
end

-- Forgets what jobs wait for: they are taken from whoever runs them.
local function unpark(fields)
  local spaces = {}
  for i = 1, #fields do
    local ns, id = string.match(fields[i], '^(.*)/(%d+)$')
    local ids = spaces[ns]
    if ids == nil then
      ids = call('EXISTS', space(ns) .. 'p') == 1 and {}
      spaces[ns] = ids
    end
    if ids then
      ids[#ids + 1] = id
    end
  end
  for ns, ids in pairs(spaces) do
    if ids then
      many('HDEL', space(ns) .. 'p', ids)
    end
  end
end

-- Whether as many jobs of a namespace run as may. What is parked does not run.
local function is_full(N, limit, held)
  return limit and held - call('HLEN', N .. 'p') >= tonumber(limit)
end

-- Lets a namespace have its share, unless it is paused or full. If it was away it begins
-- where the one that is next stands, so that it has saved nothing.
local function activate(ns)
  local active = P .. 'active'
  local first = call('ZRANGE', active, 0, 0)[1]
  if first ~= ns and not (first and call('ZSCORE', active, ns)) then
    local N = space(ns)
    local m = call('HMGET', N .. 'meta', 'paused', 'used', 'held', 'cost', 'limit')
    local used, held = tonumber(m[2] or 0), tonumber(m[3] or 0)
    if m[1] or is_full(N, m[5], held) then
      return
    end
    local from = first and call('HGET', space(first) .. 'meta', 'used')
      or not first and call('HGET', P .. 'meta', 'clock')
    if tonumber(from or 0) > used then
      used = tonumber(from)
      call('HSET', N .. 'meta', 'used', used)
    end
    call('ZADD', active, used + held * (m[4] or 0), ns)
  end
  ring()
end

-- Takes a namespace out that has used so much, and has no jobs to take.
local function rest(ns, used)
  call('ZREM', P .. 'active', ns)
  call('HSET', P .. 'meta', 'clock', used)
end

-- What stands in a queue for jobs of a rank whose ids are these.
local function run_of(first, last, rank)
  if first == last then
    return string.format('%d:%s', first, rank)
  end
  return string.format('%d-%d:%s', first, last, rank)
end

-- The first and the last id of what stands in a queue, and its rank; of a bare id, that.
local function span_of(member)
  local first, last, rank = string.match(member, '^(%d+)%-?(%d*):?(.*)$')
  first = tonumber(first)
  return first, tonumber(last) or first, rank
end

-- Takes a job that waits out of the run in which it stands; answers 1 if it did, else 0.
local function leave_run(N, member)
  local q, id = N .. 'q' .. lane_of(member), tonumber((id_of(member)))
  local run = call('ZREVRANGEBYSCORE', q, id, '-inf', 'LIMIT', 0, 1)[1]
  local first, last, rank
  if run then
    first, last, rank = span_of(run)
  end
  if not run or last < id then
    return 0
  end
  call('ZREM', q, run)
  local more = first - last
  for _, part in ipairs({ { first, id - 1 }, { id + 1, last } }) do
    if part[1] <= part[2] then
      call('ZADD', q, part[1], run_of(part[1], part[2], rank))
      more = more + part[2] - part[1]
    end
  end
  call('HINCRBY', N .. 'meta', 'more', more)
  return 1
end

-- How many of a namespace's four queues of a kind have members.
local function queues(kind, N)
  return call('EXISTS', N .. kind .. '0', N .. kind .. '1', N .. kind .. '2', N .. kind .. '3')
end

-- Whether jobs wait that some host could take, now or when a gate opens.
local function has_waiting(N)
  return queues('q', N) > 0 or call('EXISTS', N .. 'g') == 1
end

-- Adds members to a namespace's queues of a kind, q or i.
local function add(kind, N, members)
  local lanes = {}
  for i = 1, #members do
    local member = members[i]
    local priority = lane_of(member)
    local list = lanes[priority]
    if not list then
      list = { n = 0 }
      lanes[priority] = list
    end
    list[list.n + 1], list[list.n + 2] = id_of(member), member
    list.n = list.n + 2
  end
  for priority, list in pairs(lanes) do
    many('ZADD', N .. kind .. priority, list)
  end
end

-- Lets members wait.
local function enqueue(ns, members)
  if #members > 0 then
    add('q', space(ns), members)
    activate(ns)
  end
end

-- Takes a member from the gate at which it waits; answers 1 if it did, else 0.
local function ungate(N, member)
  local id = id_of(member)
  local gate = call('HGET', N .. 'gate', id)
  if gate then
    call('HDEL', N .. 'gate', id)
    call('ZREM', N .. 'g' .. lane_of(member) .. ':' .. gate, member)
  end
  return call('ZREM', N .. 'g', member)
end

-- Takes a member out of wherever it waits; answers whether it did.
local function remove(N, member)
  local lane = lane_of(member)
  local waited = call('ZREM', N .. 'q' .. lane, member) + call('ZREM', N .. 'i' .. lane, member)
    + call('ZREM', N .. 'd', member) + call('ZREM', N .. 'aside', member) + ungate(N, member)
  if waited == 0 then
    waited = leave_run(N, member)
  end
  call('ZREM', N .. 't', member)
  call('HDEL', N .. 'since', id_of(member))
  return waited > 0
end

-- Lets members wait for their time; `list` is ms, member, ms, member, ..
local function delay(ns, list)
  if #list > 0 then
    local ids = {}
    for i = 2, #list, 2 do
      ids[i - 1], ids[i] = id_of(list[i]), list[i]
    end
    many('ZADD', space(ns) .. 'd', list)
    many('ZADD', space(ns) .. 't', ids)
    local first = call('ZRANGE', space(ns) .. 'd', 0, 0, 'WITHSCORES')[2]
    call('ZADD', P .. 'dues', first, ns)
    tell('d', first)
  end
end
