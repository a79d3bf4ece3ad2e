-- Run a command, and append an entry to the board's stream, both or neither.
-- KEYS: the counter of messages, the counter of other entries, the stream, and the command's key.
-- ARGV: FOLLOW; the number of the command's words; its words; the entry's fields and values.
local count = tonumber(ARGV[2])
local words, fields = {}, {}
for i = 3, #ARGV do
  table.insert(i <= 2 + count and words or fields, ARGV[i])
end
redis.call(unpack(words))
-- Message 7 is the entry 7-0. Entries that follow it are 7-N, and N never falls.
local id = (redis.call("GET", KEYS[1]) or "0") .. "-" .. redis.call("INCR", KEYS[2])
redis.call("XADD", KEYS[3], "MAXLEN", "~", ARGV[1], id, unpack(fields))
