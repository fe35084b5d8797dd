-- The access tokens, unless the caller knows them.
--
-- ARGV[1]  the version of the whole that the caller knows
--
-- Returns {version} if that is the newest, else {version, id, value, id, value, ..}
local version = call('HGET', P .. 'meta', 'tokens') or ''
local answer = {}
if version ~= ARGV[1] then
  answer = call('HGETALL', P .. 'tokens')
end
table.insert(answer, 1, version)
return answer
