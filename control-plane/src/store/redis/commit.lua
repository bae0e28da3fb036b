-- Does all that a transaction does, once: if the leader that asks still leads, and nobody changed anything since it looked.
-- KEYS: the lease, the id of the last transaction.
-- ARGV: the leader's token, the id that it saw, the id of this one, and then each command after its number of words.
local last = redis.call('GET', KEYS[2]) or ''
if last == ARGV[3] then
  return 'done'
end
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then
  return 'fenced'
end
if last ~= ARGV[2] then
  return 'moved'
end
-- First, since it fails if Redis has no memory left, and then nothing may have been done.
redis.call('SET', KEYS[2], ARGV[3])
local at = 4
while at <= #ARGV do
  local words = tonumber(ARGV[at])
  redis.call(unpack(ARGV, at + 1, at + words))
  at = at + words + 1
end
return 'done'
