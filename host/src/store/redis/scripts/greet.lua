-- Says what Redis this is, and whose keys these are.
--
-- ARGV[1]  the layout of keys and records that the caller writes
-- ARGV[2]  an id for this store, if it has none
--
-- Returns {INFO or '', layout, id, number of the last event, now ms}
local info = ''
for _, section in ipairs({ 'server', 'memory', 'persistence' }) do
  local answer = redis.pcall('INFO', section)
  if type(answer) == 'string' then
    info = info .. answer
  end
end
even_if_full()
-- What an older skep has written can be read; that one could not read all from now on.
if tonumber(call('HGET', P .. 'meta', 'schema') or 0) < tonumber(ARGV[1]) then
  call('HSET', P .. 'meta', 'schema', ARGV[1])
end
call('HSETNX', P .. 'meta', 'id', ARGV[2])
local meta = call('HMGET', P .. 'meta', 'schema', 'id', 'events')
return { info, meta[1], meta[2], meta[3] or '0', now_ms() }
