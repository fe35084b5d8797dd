-- The functions of a namespace.
--
-- ARGV[1]  namespace
--
-- Returns {version of the whole, name, value, name, value, ..}
local N = space(ARGV[1])
local answer = call('HGETALL', N .. 'f')
table.insert(answer, 1, call('HGET', N .. 'meta', 'functions') or '0')
return answer
