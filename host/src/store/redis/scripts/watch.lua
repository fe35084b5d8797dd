-- Lets hosts tell what happens to jobs for a while.
--
-- ARGV[1]  for how long, ms
-- then `ns/id` of each job
even_if_full()
local now, list = now_ms(), {}
for i = 2, #ARGV do
  list[#list + 1] = now + ARGV[1]
  list[#list + 1] = ARGV[i]
end
call('ZREMRANGEBYSCORE', P .. 'watch', '-inf', now)
many('ZADD', P .. 'watch', list)
call('PEXPIRE', P .. 'watch', ARGV[1])
