-- Store a message. Return its id, room, author, text and time.
-- KEYS: the counter of ids, the board's stream, the room's stream, the rooms by id, the newest
--   id that was removed from each room, and, if there is a request id, what was posted with it.
-- ARGV: the room, author, text and time; FOLLOW and RETAIN; the seconds a request id is known.
local room, author, text, sent_at = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local follow, retain, seconds = ARGV[5], tonumber(ARGV[6]), ARGV[7]
local fields = {"room", room, "author", author, "text", text, "sent_at", sent_at}
local id = 0

-- TODO(store-add): Return the message in `KEYS[6]`, or append a new one to both streams.
-- END(store-add)

redis.call("HSET", KEYS[4], id, room)
while redis.call("XLEN", KEYS[3]) > retain do
  local oldest = redis.call("XRANGE", KEYS[3], "-", "+", "COUNT", 1)[1][1]
  local number = string.match(oldest, "%d+")
  redis.call("XDEL", KEYS[3], oldest)
  redis.call("HDEL", KEYS[4], number)
  redis.call("HSET", KEYS[5], room, number)
end
return {id, room, author, text, sent_at}
