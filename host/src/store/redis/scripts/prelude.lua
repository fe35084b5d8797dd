-- What every script begins with. KEYS[1] is the prefix of all keys, `{skep}:`, whose
-- hash tag keeps them in one slot; the names of other keys are made from it here.
--
--   meta        HASH    schema, id (of this store), events (the last one's number), turn
--   hosts       ZSET    incarnation -> when its lease ends, ms
--   w:<inc>     HASH    what an incarnation holds: `ns/id` -> `attempt:claimed ms:past:member`;
--                       and '' -> a filler, too long for the encoding that is searched
--                       from its beginning, which cost 3 us a job
--   s:<inc>     STRING  the last step of an incarnation: `number|ns/id ..|refused ..`
--   g:<inc>     HASH    the progress of what it holds: `ns/id` -> record
--   active      ZSET    namespaces with jobs to take -> turn
--   dues        ZSET    namespaces with delayed jobs -> when the first is due, ms
--   stop        SET     running jobs that somebody wants stopped: `ns/id`
--   expire      ZSET    `ns/id` -> when its result is dropped, ms
--   wake        LIST    at most one token, there while a sleeping host may find work
--   events      STREAM  what all hosts want to know at once; entries are numbered n-1
--   ns          SET     the namespaces
--   b:<batch>   STRING  the answer to a submit, for a minute
--   c:<digest>  STRING  a component
--   n:<ns>:meta HASH    last (id), claims, paused, functions (version of the whole); posted,
--                       completed, failed, cancelled, purged, and what the first four
--                       were at the last rezero (0:posted, ..)
--   n:<ns>:q    ZSET    members that wait -> priority and id
--   n:<ns>:idle ZSET    the same, of jobs that name no function while there is none
--   n:<ns>:aside ZSET   the same, of jobs that no host of this version can read
--   n:<ns>:d    ZSET    members that are delayed -> when they are due, ms
--   n:<ns>:t    ZSET    the same members -> id
--   n:<ns>:m    HASH    id -> `mover:due ms or 0:member`, of jobs held for another store
--   n:<ns>:a    HASH    id -> attempts so far, of jobs with a history or a log
--   n:<ns>:dead ZSET    id -> when it went to the dead letter, ms
--   n:<ns>:f    HASH    function -> place:version:ms:record; fl: last version; fv: all versions
--   n:<ns>:u:<key>, o:<origin>, x:<key>  STRING  the id of an idempotency key; that of a
--                       job of another store; stored data
--   j:<ns>/<id>, e:, h:, l:  STRING  a job, its end, its past attempts, its log
--
-- A member is `id:rank`; a rank is a priority and `*` if the job names no function,
-- else `.`. Numbers stay below 10^14, which Lua writes out in full.
local P = KEYS[1]
local call = redis.call

-- Lua refuses to unpack more than about 8,000 values.
local CHUNK = 4000

-- Members are ordered by priority, then by id.
local LANE = 10000000000000

local function space(ns)
  return P .. 'n:' .. ns .. ':'
end

local function score(member)
  return string.sub(member, -2, -2) * LANE + string.sub(member, 1, -4)
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

-- Lets a namespace take its turns.
local function activate(ns)
  if not call('HGET', space(ns) .. 'meta', 'paused') then
    call('ZADD', P .. 'active', 'NX', call('HGET', P .. 'meta', 'turn') or '0', ns)
    ring()
  end
end

-- Lets members wait; `list` is score, member, score, member, ..
local function enqueue(ns, list)
  if #list > 0 then
    many('ZADD', space(ns) .. 'q', list)
    activate(ns)
  end
end

-- Lets members wait for their time; `list` is ms, member, ms, member, ..
local function delay(ns, list)
  if #list > 0 then
    local ids = {}
    for i = 2, #list, 2 do
      ids[i - 1], ids[i] = string.sub(list[i], 1, -4), list[i]
    end
    many('ZADD', space(ns) .. 'd', list)
    many('ZADD', space(ns) .. 't', ids)
    local first = call('ZRANGE', space(ns) .. 'd', 0, 0, 'WITHSCORES')[2]
    call('ZADD', P .. 'dues', first, ns)
    tell('d', first)
  end
end
