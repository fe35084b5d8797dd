-- Notes that jobs go on which have waited for others.
--
-- ARGV: for each: incarnation; namespace; id; attempt; number of the wait
even_if_full()
local news = {}
for i = 1, #ARGV, 5 do
  local inc, ns, id, attempt, number = unpack(ARGV, i, i + 4)
  local field, waits = ns .. '/' .. id, space(ns) .. 'p'
  local value = call('HGET', P .. 'w:' .. inc, field)
  local wait = call('HGET', waits, id)
  if value and string.match(value, '^%d+') == attempt
    and wait and string.match(wait, '^%d+') == number then
    call('HDEL', waits, id)
    if call('EXISTS', space(ns) .. 'in') == 1 then
      make_gates().go_on(space(ns), id)
    end
    news[#news + 1] = { field, attempt, 'r' }
  end
end
tell_all(news)
