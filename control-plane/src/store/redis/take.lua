-- Gives the lease to whoever asks, if nobody else has it.
-- KEYS: the lease, the last token. ARGV: where the one who asks is reached, for how many milliseconds.
local holder = redis.call('HGET', KEYS[1], 'holder')
if holder and holder ~= ARGV[1] then
  return {0, holder}
end
local token = redis.call('INCR', KEYS[2])
redis.call('HSET', KEYS[1], 'token', token, 'holder', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {token, ARGV[1]}
