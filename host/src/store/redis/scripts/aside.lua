-- Sets jobs aside that the caller holds and cannot read; they are as they were, and a
-- host that registers puts them back, since it may be of another version.
--
-- ARGV[1]  incarnation
-- then `ns/id` of each
even_if_full()
local W = P .. 'w:' .. ARGV[1]
for i = 2, #ARGV do
  local value = call('HGET', W, ARGV[i])
  if value then
    local ns, id = string.match(ARGV[i], '^(.*)/(%d+)$')
    local member = id .. ':' .. string.sub(value, -2)
    local N = space(ns)
    call('ZADD', N .. 'aside', id_of(member), member)
    call('HDEL', W, ARGV[i])
    call('HINCRBY', N .. 'meta', 'held', -1)
    if call('EXISTS', N .. 'in') == 1 then
      make_gates().leave(N, { id_of(member) })
    end
    if has_waiting(N) then
      activate(ns)
    end
  end
end
