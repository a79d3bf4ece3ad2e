-- Take a token from a user's bucket. Return "0", or the seconds until there is one.
-- KEYS: the bucket, with its `tokens` at a time, `at`. Without the key, the bucket is full.
-- ARGV: the tokens that flow in a second, and those that fit.
local rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call("TIME")
local now = time[1] + time[2] / 1000000 -- seconds, by one clock for all processes
local wait = 0

-- TODO(shared-rate): Take a token, and store the bucket. Without a token, set `wait`.
-- END(shared-rate)

redis.call("PEXPIRE", KEYS[1], math.ceil(1000 * burst / rate)) -- By then it is full.
return tostring(wait)
