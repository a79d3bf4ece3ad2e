-- Count a connection unless there are as many as allowed. Return 0, or which limit is reached.
-- KEYS: the processes, and the connections of this process.
-- ARGV: what the keys of all processes' connections begin with; 1 to count, 0 to look only;
--   then each name with the connections that it may have.
local count = 0
for i = 3, #ARGV, 2 do
  local open = 0
  -- --8<-- [start:shared-caps] Add up in `open` what all processes have under the name `ARGV[i]`.
  for _, process in ipairs(redis.call("ZRANGE", KEYS[1], 0, -1)) do
    open = open + (redis.call("HGET", ARGV[1] .. process, ARGV[i]) or 0)
  end
  -- --8<-- [end:shared-caps]
  count = count + 1
  if open >= tonumber(ARGV[i + 1]) then
    return count
  end
end
if ARGV[2] == "1" then
  for i = 3, #ARGV, 2 do
    redis.call("HINCRBY", KEYS[2], ARGV[i], 1)
  end
end
return 0
