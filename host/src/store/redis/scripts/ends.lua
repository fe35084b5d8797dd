-- What jobs were accepted as, and how they ended, without messages and results.
--
-- ARGV[1]  namespace
-- then the ids
--
-- Returns for each: the front of the job or '', the record of its end or ''
local slash, answer = ARGV[1] .. '/', {}
for i = 2, #ARGV do
  local J, E = P .. 'j:' .. slash .. ARGV[i], P .. 'e:' .. slash .. ARGV[i]
  local front, mark = call('GETRANGE', J, 0, 22), call('GETRANGE', E, 0, 8)
  answer[#answer + 1] = front ~= ''
    and call('GETRANGE', J, 0, 22 + (tonumber(string.sub(front, 16), 16) or 0)) or ''
  answer[#answer + 1] = mark ~= ''
    and call('GETRANGE', E, 0, 8 + (tonumber(string.sub(mark, 2), 16) or 0)) or ''
end
return answer
