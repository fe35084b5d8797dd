-- Versions of a function, from the newest to the oldest.
--
-- ARGV[1]  namespace
-- ARGV[2]  function
-- ARGV[3]  before this version, or ''
-- ARGV[4]  how many at most
--
-- Returns their records.
local N, name = space(ARGV[1]), ARGV[2]
local newest = tonumber(call('HGET', N .. 'fl', name) or 0)
if ARGV[3] ~= '' then
  newest = math.min(newest, ARGV[3] - 1)
end
local fields = {}
for version = newest, math.max(newest - ARGV[4] + 1, 1), -1 do
  fields[#fields + 1] = name .. ':' .. version
end
local records, answer = gather('HMGET', N .. 'fv', fields), {}
for i = 1, #fields do
  answer[#answer + 1] = records[i] or nil
end
return answer
