-- Count a connection unless there are as many as allowed. Return 0, or which limit is reached.
-- KEYS: the processes, and the connections of this process.
-- ARGV: what the keys of all processes' connections begin with; 1 to count, 0 to look only;
--   then each name with the connections that it may have.
local count = 0
for i = 3, #ARGV, 2 do
  local open = 0
  -- TODO(shared-caps): Add up in `open` what all processes have under the name `ARGV[i]`.
  -- END(shared-caps)
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
