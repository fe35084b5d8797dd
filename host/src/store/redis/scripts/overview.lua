-- What there is in the whole store.
--
-- ARGV[1]  how many namespaces to name, about
--
-- Returns {now ms, hosts with a lease, namespaces, name, name, ..}
local now = now_ms()
local answer = { now, call('ZCOUNT', P .. 'hosts', '(' .. now, '+inf'), call('SCARD', P .. 'ns') }
-- Without an end, a set that is too large to be read whole is read from its beginning.
local names = call('SSCAN', P .. 'ns', 0, 'COUNT', ARGV[1])[2]
for i = 1, #names do
  answer[#answer + 1] = names[i]
end
return answer
