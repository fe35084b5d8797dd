-- The newest versions of a namespace's models.
--
-- ARGV[1]  namespace
--
-- Returns {version of the whole, name, value, name, value, ..}
local N = space(ARGV[1])
local answer = call('HGETALL', N .. 'mo')
table.insert(answer, 1, call('HGET', N .. 'meta', 'models') or '0')
return answer
