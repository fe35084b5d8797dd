-- The versions of a model, from the newest to the oldest.
--
-- ARGV[1]  namespace
-- ARGV[2]  name
-- ARGV[3]  how many at most
--
-- Returns their values.
local N, name = space(ARGV[1]), ARGV[2]
local newest = tonumber(call('HGET', N .. 'ml', name) or 0)
local answer = {}
for version = newest, math.max(newest - ARGV[3] + 1, 1), -1 do
  answer[#answer + 1] = call('HGET', N .. 'mv', name .. ':' .. version) or nil
end
return answer
