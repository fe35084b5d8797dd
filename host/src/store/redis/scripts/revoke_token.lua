-- Forgets an access token.
--
-- ARGV[1]  its id
-- ARGV[2]  a new version of the whole
--
-- Returns how many were forgotten.
even_if_full()
call('HSET', P .. 'meta', 'tokens', ARGV[2])
return call('HDEL', P .. 'tokens', ARGV[1])
