-- Notes how far jobs are, of those that the incarnation still holds.
--
-- ARGV[1]  incarnation
-- then for each job: `ns/id`; attempt; record
even_if_full()
local W, list = P .. 'w:' .. ARGV[1], {}
for i = 2, #ARGV, 3 do
  local value = call('HGET', W, ARGV[i])
  if value and string.match(value, '^%d+') == ARGV[i + 1] then
    list[#list + 1] = ARGV[i]
    list[#list + 1] = ARGV[i + 2]
  end
end
many('HSET', P .. 'g:' .. ARGV[1], list)
