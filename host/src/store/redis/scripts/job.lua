-- All that is known of a job, but for its message and result.
--
-- ARGV[1]  namespace
-- ARGV[2]  id
-- ARGV[3]  how many of the jobs that it has posted to name
--
-- Returns {} if it is unknown, else {when it was posted, rank, head, bytes of the message,
-- place, detail, past attempts or '', progress or '', whether it is to be stopped, how
-- many jobs it has posted, the first of those, when its callback is tried next or '', the
-- numbers of the tries so far (and ''), each with its record}; place and detail: `ended` and the record of that, `queued` and '',
-- `scheduled` and when it is due, `held` and '' (for another store), `running` or `parked`
-- and the value of its holder.
local N, id = space(ARGV[1]), ARGV[2]
local field = ARGV[1] .. '/' .. id
local J, E = P .. 'j:' .. field, P .. 'e:' .. field
local size = call('STRLEN', J)
if size == 0 then
  return {}
end
local front = call('GETRANGE', J, 0, 22)
local length = tonumber(string.sub(front, 16, 23), 16)
local answer = {
  string.sub(front, 1, 13), string.sub(front, 14, 15),
  call('GETRANGE', J, 23, 22 + length), size - 23 - length,
}
local function with(place, detail, progress)
  answer[5], answer[6] = place, detail
  answer[7] = call('GET', P .. 'h:' .. field) or ''
  answer[8] = progress or ''
  answer[9] = call('SISMEMBER', P .. 'stop', field)
  local K, children = P .. 'k:' .. field, {}
  local named = call('ZRANGE', K, 0, ARGV[3] - 1, 'WITHSCORES')
  for i = 2, #named, 2 do
    children[i / 2] = named[i]
  end
  answer[10], answer[11] = call('ZCARD', K), children
  answer[12], answer[13] = '', {}
  if calls_back(answer[2]) then
    answer[12] = call('ZSCORE', P .. 'out', field) or ''
    answer[13] = call('HGETALL', P .. 'cb:' .. field)
  end
  return answer
end
local mark = call('GETRANGE', E, 0, 8)
if mark ~= '' then
  return with('ended', call('GETRANGE', E, 0, 8 + tonumber(string.sub(mark, 2), 16)))
end
local member = id .. ':' .. answer[2]
local due = call('ZSCORE', N .. 'd', member)
if due then
  return with('scheduled', due)
end
if call('HEXISTS', N .. 'm', id) == 1 then
  return with('held', '')
end
if not call('ZSCORE', N .. 'q' .. lane_of(member), member) then
  for _, inc in ipairs(call('ZRANGE', P .. 'hosts', 0, -1)) do
    local value = call('HGET', P .. 'w:' .. inc, field)
    if value then
      local said = call('HGET', P .. 'g:' .. inc, field)
      local place = call('HEXISTS', N .. 'p', id) == 1 and 'parked' or 'running'
      return with(place, value, said and string.gsub(said, '^%d+:', ''))
    end
  end
end
return with('queued', '')
