-- Deletes jobs of the dead letter.
--
-- ARGV[1]  namespace
-- then for each job: id; idempotency key or ''; the job that posted it or ''
--
-- Returns how many there were. One whose parent goes on stays: that may ask for it.
local ns = ARGV[1]
local N, slash = space(ns), ARGV[1] .. '/'
local keys, ids, fields = {}, {}, {}
even_if_full()
for i = 2, #ARGV, 3 do
  local id, parent = ARGV[i], ARGV[i + 2]
  local field = slash .. id
  local goes_on = parent ~= ''
    and call('EXISTS', P .. 'j:' .. slash .. parent, P .. 'e:' .. slash .. parent) == 1
  if not goes_on and call('ZSCORE', N .. 'dead', id) then
    ids[#ids + 1], fields[#fields + 1] = id, field
    for _, kind in ipairs({ 'j:', 'e:', 'h:', 'l:', 'k:', 'cb:' }) do
      keys[#keys + 1] = P .. kind .. field
    end
    local key = N .. 'u:' .. ARGV[i + 1]
    if ARGV[i + 1] ~= '' and call('GET', key) == id then
      keys[#keys + 1] = key
    end
  end
end
many('UNLINK', nil, keys)
many('ZREM', N .. 'dead', ids)
many('ZREM', P .. 'out', fields)
return #ids
