-- Note that a process lives. Return 1 if it is new, and the processes that were silent for LEASE.
-- KEYS: the processes, with the time of their last sign of life. ARGV: the process, and LEASE.
local time = redis.call("TIME")
local now = time[1] + time[2] / 1000000 -- seconds, by one clock for all processes
local silent = redis.call("ZRANGEBYSCORE", KEYS[1], "-inf", now - ARGV[2])
return {redis.call("ZADD", KEYS[1], now, ARGV[1]), silent}
