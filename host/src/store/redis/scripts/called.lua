-- Notes one try of a callback.
--
-- ARGV[1]  `ns/id`
-- ARGV[2]  which try it was, from 1
-- ARGV[3]  its record
-- ARGV[4]  when to try again, in ms from now, or ''
--
-- Returns whether it was noted: it is not if there is a newer one.
local out, tries = P .. 'out', P .. 'cb:' .. ARGV[1]
if call('HGET', tries, '') ~= ARGV[2] or call('HEXISTS', tries, ARGV[2]) == 1 then
  return 0
end
even_if_full()
call('HSET', tries, ARGV[2], ARGV[3])
if ARGV[4] == '' then
  call('ZREM', out, ARGV[1])
else
  call_back({ now_ms() + ARGV[4], ARGV[1] })
end
return 1
