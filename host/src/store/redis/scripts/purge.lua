-- Deletes jobs that wait.
--
-- ARGV[1]  namespace
-- then for each job: member; idempotency key or ''
--
-- Returns how many still waited.
local ns = ARGV[1]
local N, purged, keys, fields = space(ns), 0, {}, {}
for i = 2, #ARGV, 2 do
  local member = ARGV[i]
  local id = id_of(member)
  local field = ns .. '/' .. id
  if remove(N, member) then
    purged = purged + 1
    call('HDEL', N .. 'a', id)
    fields[#fields + 1] = field
    for _, kind in ipairs({ 'j:', 'h:', 'l:', 'k:', 'cb:' }) do
      keys[#keys + 1] = P .. kind .. field
    end
    local key = N .. 'u:' .. ARGV[i + 1]
    if ARGV[i + 1] ~= '' and call('GET', key) == id then
      keys[#keys + 1] = key
    end
  end
end
many('UNLINK', nil, keys)
if purged > 0 then
  call('HINCRBY', N .. 'meta', 'purged', purged)
  -- Whoever waits for one shall learn that it is gone.
  tell('e', table.concat(fields, ' '))
end
return purged
