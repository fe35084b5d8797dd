-- What a job has logged.
--
-- ARGV[1]  namespace
-- ARGV[2]  id
--
-- Returns {the value of its holder or '', the log: reported, of the attempt that runs, else
-- of the last one; its past attempts or '', the record of its end or ''}
local field = ARGV[1] .. '/' .. ARGV[2]
local E = P .. 'e:' .. field
local mark = call('GETRANGE', E, 0, 8)
local ended = mark ~= '' and call('GETRANGE', E, 0, 8 + tonumber(string.sub(mark, 2), 16))
if not ended then
  for _, inc in ipairs(call('ZRANGE', P .. 'hosts', 0, -1)) do
    local value = call('HGET', P .. 'w:' .. inc, field)
    if value then
      return { value, call('GET', P .. 'v:' .. field) or '', '', '' }
    end
  end
end
return { '', call('GET', P .. 'l:' .. field) or '', call('GET', P .. 'h:' .. field) or '', ended or '' }
