-- Gives a host again what it holds.
--
-- ARGV[1]  incarnation
-- ARGV[2..] `ns/id` of each
--
-- Returns what was taken: see `taken` in `claims.lua`.
even_if_full()
local claims = make_claims(ARGV[1], 0, 0, now_ms())
claims.take_again(table.concat(ARGV, ' ', 2))
return { claims.taken() }
