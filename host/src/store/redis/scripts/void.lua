-- Keeps posts from being carried out that have not been, and tells what a host holds: whoever
-- sent them got no answer, and one of them may have taken jobs for that host.
--
-- ARGV[1]  incarnation
-- ARGV[2]  how long to remember that, ms
-- ARGV[3..] ids of the posts, as in `submit.lua`
--
-- Returns the `ns/id` of all that it holds.
even_if_full()
for i = 3, #ARGV do
  call('SET', P .. 'b:' .. ARGV[i], 'void', 'NX', 'PX', ARGV[2])
end
local held = {}
for _, field in ipairs(call('HKEYS', P .. 'w:' .. ARGV[1])) do
  -- The filler is no job.
  if field ~= '' and string.find(field, '/', 1, true) then
    held[#held + 1] = field
  end
end
return held
