-- Lets whoever has this token have the lease for so many milliseconds from now; with 0, no more.
-- KEYS: the lease. ARGV: the token, the milliseconds.
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then
  return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
