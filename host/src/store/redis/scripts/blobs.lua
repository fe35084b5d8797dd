-- What is common to the scripts that name content or let go of it.

-- Calls for each key that content takes.
local function of_blob(digest, act)
  local D, n = P .. 'c:' .. digest, 0
  local key = D
  while act(key) do
    n = n + 1
    key = D .. ':' .. n
  end
end

-- Keeps content, since something names it; answers whether it is there.
local function keep_blob(digest)
  local there = false
  of_blob(digest, function(key)
    if call('EXISTS', key) == 0 then
      return false
    end
    call('PERSIST', key)
    there = true
    return true
  end)
  return there
end

-- How many versions of models in a namespace have this content, and its bytes.
local function named(N, digest)
  local count, bytes = string.match(call('HGET', N .. 'mb', digest) or '0:0', '^(%d+):(%d+)$')
  return tonumber(count), tonumber(bytes)
end

-- Notes that one version more has this content.
local function name_blob(N, digest, bytes)
  local count = named(N, digest)
  call('HSET', N .. 'mb', digest, (count + 1) .. ':' .. bytes)
  if count == 0 then
    call('HINCRBY', N .. 'meta', 'model_bytes', bytes)
    call('HINCRBY', P .. 'refs', digest, 1)
  end
end

-- Notes that one version less has this content; what none has is dropped after `kept` ms.
-- No component is that: it begins with a byte that no model begins with.
local function unname_blob(N, digest, kept)
  local count, bytes = named(N, digest)
  if count > 1 then
    call('HSET', N .. 'mb', digest, (count - 1) .. ':' .. bytes)
    return
  end
  call('HDEL', N .. 'mb', digest)
  call('HINCRBY', N .. 'meta', 'model_bytes', -bytes)
  if call('HINCRBY', P .. 'refs', digest, -1) <= 0 then
    call('HDEL', P .. 'refs', digest)
    of_blob(digest, function(key)
      return call('PEXPIRE', key, kept) == 1
    end)
  end
end

-- Forgets the versions of a model up to one.
local function forget_models(N, name, version, kept)
  while version > 0 do
    local field = name .. ':' .. version
    local value = call('HGET', N .. 'mv', field)
    if not value then
      return
    end
    call('HDEL', N .. 'mv', field)
    unname_blob(N, string.match(value, '^%d+:%d+:(%x+):'), kept)
    version = version - 1
  end
end
