-- Stores one chunk of content. The first comes last, and makes all of it visible.
--
-- ARGV[1]  the digest of the whole
-- ARGV[2]  the chunk's place, from 0
-- ARGV[3]  how many there are
-- ARGV[4]  how long they are kept if nothing names them, ms
-- ARGV[5]  the chunk
--
-- Returns 1, or 0 if others are gone that were stored before.
local D, kept = P .. 'c:' .. ARGV[1], ARGV[4]
local first = ARGV[2] == '0'
if first then
  for n = 1, ARGV[3] - 1 do
    if call('EXISTS', D .. ':' .. n) == 0 then
      return 0
    end
  end
end
-- What is there and named stays so, also while it is written anew.
local is_named = call('PTTL', D) == -1
local key = first and D or D .. ':' .. ARGV[2]
if is_named then
  call('SET', key, ARGV[5])
  return 1
end
call('SET', key, ARGV[5], 'PX', kept)
if first then
  for n = 1, ARGV[3] - 1 do
    call('PEXPIRE', D .. ':' .. n, kept)
  end
end
return 1
