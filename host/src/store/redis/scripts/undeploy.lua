-- Unbinds functions.
--
-- ARGV[1]  namespace
-- then the names
--
-- Returns {how many were bound, version of the whole}
local N = space(ARGV[1])
local unbound = call('HDEL', N .. 'f', unpack(ARGV, 2))
local capped = call('HKEYS', N .. 'caps')
if call('HDEL', N .. 'caps', unpack(ARGV, 2)) > 0 then
  make_gates().begin(ARGV[1], capped)
end
local whole = call('HINCRBY', N .. 'meta', 'functions', 1)
tell('f', ARGV[1] .. ' ' .. whole)
return { unbound, whole }
