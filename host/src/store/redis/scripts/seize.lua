-- Takes running jobs of a namespace from all hosts: from now on an incarnation of
-- the caller's own holds them.
--
-- ARGV[1]  that incarnation
-- ARGV[2]  its lease, ms
-- ARGV[3]  how many jobs at most
-- ARGV[4]  namespace
--
-- Returns {`ns/id`, value, `ns/id`, value, ..}
local inc, most, slash = ARGV[1], tonumber(ARGV[3]), ARGV[4] .. '/'
local answer = {}
for _, host in ipairs(call('ZRANGE', P .. 'hosts', 0, -1)) do
  local W, fields = P .. 'w:' .. host, {}
  if host ~= inc and #answer < 2 * most then
    for _, field in ipairs(call('HKEYS', W)) do
      if #answer < 2 * most and string.sub(field, 1, #slash) == slash then
        fields[#fields + 1] = field
        answer[#answer + 1] = field
        answer[#answer + 1] = call('HGET', W, field)
      end
    end
    if #fields > 0 then
      many('HDEL', W, fields)
      silence(host, fields)
      unpark(fields)
      -- It must look from now on whether it still holds what it thinks it holds.
      call('HDEL', W, '')
    end
  end
end
if #answer > 0 then
  call('ZADD', P .. 'hosts', now_ms() + ARGV[2], inc)
  many('HSET', P .. 'w:' .. inc, answer)
end
return answer
