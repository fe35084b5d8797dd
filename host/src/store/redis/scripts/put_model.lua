-- Makes a model the newest version of its name.
--
-- ARGV[1]  namespace
-- ARGV[2]  name
-- ARGV[3]  digest of its content
-- ARGV[4]  how many bytes that has
-- ARGV[5]  its record
-- ARGV[6]  how many models a namespace may have
-- ARGV[7]  how many versions are kept
-- ARGV[8]  how many bytes the models of a namespace may take
-- ARGV[9]  how long content is kept that nothing names, ms
--
-- Returns {0, now ms, version of the whole, version}; {1} if there are too many models, {2} if
-- they are too large, {3} if the content is not there.
local ns, name, digest, bytes, kept = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[9]
local N, now = space(ns), now_ms()
if call('HEXISTS', N .. 'mo', name) == 0 and call('HLEN', N .. 'mo') >= tonumber(ARGV[6]) then
  return { 1 }
end
local used = tonumber(call('HGET', N .. 'meta', 'model_bytes') or 0)
if named(N, digest) == 0 and used + bytes > tonumber(ARGV[8]) then
  return { 2 }
end
if not keep_blob(digest) then
  return { 3 }
end
name_blob(N, digest, bytes)
local version = call('HINCRBY', N .. 'ml', name, 1)
local value = version .. ':' .. now .. ':' .. digest .. ':' .. ARGV[5]
call('HSET', N .. 'mv', name .. ':' .. version, value)
call('HSET', N .. 'mo', name, value)
forget_models(N, name, version - ARGV[7], kept)
call('SADD', P .. 'ns', ns)
local whole = call('HINCRBY', N .. 'meta', 'models', 1)
tell('m', ns .. ' ' .. whole)
return { 0, now, whole, version }
