-- Removes a model with all its versions. The number of the last one stays, so that none is
-- given twice.
--
-- ARGV[1]  namespace
-- ARGV[2]  name
-- ARGV[3]  how long content is kept that nothing names, ms
--
-- Returns {1 if it was there, else 0, version of the whole}
local N, name = space(ARGV[1]), ARGV[2]
local removed = call('HDEL', N .. 'mo', name)
if removed == 0 then
  return { 0, call('HGET', N .. 'meta', 'models') or 0 }
end
forget_models(N, name, tonumber(call('HGET', N .. 'ml', name)), ARGV[3])
local whole = call('HINCRBY', N .. 'meta', 'models', 1)
tell('m', ARGV[1] .. ' ' .. whole)
return { 1, whole }
