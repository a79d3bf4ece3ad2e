-- Count an attempt under each key. Return "0", or the seconds until there may be another one.
-- KEYS: the attempts that failed, or haven't succeeded yet, with their times.
-- ARGV: the id of this attempt; how many may fail in so many seconds, and these seconds.
local most, seconds = tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call("TIME")
local now = time[1] + time[2] / 1000000 -- seconds, by one clock for all processes

for _, key in ipairs(KEYS) do
  redis.call("ZREMRANGEBYSCORE", key, "-inf", now - seconds)
  if redis.call("ZCARD", key) >= most then
    local oldest = redis.call("ZRANGE", key, 0, 0, "WITHSCORES")[2]
    return tostring(oldest + seconds - now)
  end
end
for _, key in ipairs(KEYS) do
  redis.call("ZADD", key, now, ARGV[1])
  redis.call("EXPIRE", key, seconds)
end
return "0"
