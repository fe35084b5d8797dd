-- Takes callbacks that are due: nobody else gets them for a while.
--
-- ARGV[1]  how many at most
-- ARGV[2]  for how long, ms
--
-- Returns {when the next one is due, ms, or ''; then of each: `ns/id`, how often it was taken,
-- how many tries were noted, the front of the job, the record of its end}
even_if_full()
local out, now = P .. 'out', now_ms()
local fields = call('ZRANGEBYSCORE', out, '-inf', now, 'LIMIT', 0, ARGV[1])
local answer, taken, gone = { '' }, {}, {}
for _, field in ipairs(fields) do
  local J, E = P .. 'j:' .. field, P .. 'e:' .. field
  local front, mark = call('GETRANGE', J, 0, 22), call('GETRANGE', E, 0, 8)
  if front == '' or mark == '' then
    gone[#gone + 1] = field
  else
    taken[#taken + 1] = now + ARGV[2]
    taken[#taken + 1] = field
    answer[#answer + 1] = field
    answer[#answer + 1] = call('HINCRBY', P .. 'cb:' .. field, '', 1)
    answer[#answer + 1] = call('HLEN', P .. 'cb:' .. field) - 1
    answer[#answer + 1] = call('GETRANGE', J, 0, 22 + (tonumber(string.sub(front, 16), 16) or 0))
    answer[#answer + 1] = call('GETRANGE', E, 0, 8 + (tonumber(string.sub(mark, 2), 16) or 0))
  end
end
many('ZREM', out, gone)
many('ZADD', out, taken)
answer[1] = call('ZRANGE', out, 0, 0, 'WITHSCORES')[2] or ''
return answer
