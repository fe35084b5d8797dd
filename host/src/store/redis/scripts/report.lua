-- Notes what jobs say while they run, of those that the incarnation still holds.
--
-- ARGV[1]  incarnation
-- ARGV[2]  how many bytes of what they say to tell those who watch
-- then for each job: `ns/id`; attempt; record of the progress or ''; how many log lines it
--   has reported before; how many it reports now; their record or ''
--
-- What was noted before is not noted again: the number of lines says so.
local inc, room = ARGV[1], tonumber(ARGV[2])
local W, G = P .. 'w:' .. inc, P .. 'g:' .. inc
local fields, news, list = {}, {}, {}
for i = 3, #ARGV, 6 do
  fields[#fields + 1] = ARGV[i]
end
local values, said, latest = gather('HMGET', W, fields), gather('HMGET', G, fields), {}

local function say(field, attempt, kind, text)
  room = room - #text
  news[#news + 1] = room >= 0 and { field, attempt, kind, text } or { field, attempt, 'm' }
end

for n = 1, #fields do
  local i, field = 6 * n - 3, fields[n]
  local attempt, progress, before, more, log = unpack(ARGV, i + 1, i + 5)
  if values[n] and string.match(values[n], '^%d+') == attempt then
    local lines, last = string.match(latest[field] or said[n] or '0:', '^(%d+):(.*)$')
    if more ~= '0' and tonumber(lines) <= tonumber(before) then
      call('APPEND', P .. 'v:' .. field, string.format('%08x', #log) .. log)
      lines = before + more
      say(field, attempt, 'l', before .. ' ' .. log)
    end
    if progress ~= '' then
      last = progress
      say(field, attempt, 'g', progress)
    end
    latest[field] = lines .. ':' .. last
    list[#list + 1] = field
    list[#list + 1] = latest[field]
  end
end
many('HSET', G, list)
tell_all(news)
