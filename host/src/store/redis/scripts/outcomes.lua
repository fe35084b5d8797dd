-- What became of jobs.
--
-- ARGV[1]  namespace
-- ARGV[2]  how many bytes of results at most
-- ARGV[3]  how many bytes at most in this answer, unless the first alone has more
-- ARGV[4]  1 to answer the first however much it is
-- then the ids
--
-- Returns for each, as far as there is room: the end, or 1 if it is open, or 0 if it is
-- unknown.
local prefix, room, most = ARGV[1] .. '/', tonumber(ARGV[2]), tonumber(ARGV[3])

-- Most ends are shorter than this, so that one look is enough.
local SHORT = 512
local answer, sum, total = {}, 0, 0
for i = 5, #ARGV do
  local E = P .. 'e:' .. prefix .. ARGV[i]
  local front = call('GETRANGE', E, 0, SHORT - 1)
  local is_whole = #front < SHORT
  if front == '' then
    answer[i - 4] = call('EXISTS', P .. 'j:' .. prefix .. ARGV[i])
  else
    local length = is_whole and #front or call('STRLEN', E)
    local size = length - 9 - (tonumber(string.sub(front, 2, 9), 16) or 0)
    sum, total = sum + size, total + length
    local is_first = i == 5
    if (size > 0 and sum > room and not (is_first and ARGV[4] == '1'))
      or (total > most and not is_first) then
      break
    end
    answer[i - 4] = is_whole and front or call('GET', E)
  end
end
return answer
