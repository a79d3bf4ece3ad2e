// The room with Node's ws: `node ws_room.js PORT`.
const { WebSocketServer, WebSocket } = require("ws");

const server = new WebSocketServer({ host: "127.0.0.1", port: Number(process.argv[2]) });
let id = 0;

server.on("connection", (ws) => {
  ws.send(JSON.stringify({ type: "welcome", room: "lobby", last_id: 0 }));
  ws.on("message", (data) => {
    const { text } = JSON.parse(data);
    const sent_at = new Date().toISOString();
    const message = { id: ++id, room: "lobby", author: "ada", text, sent_at };
    const out = JSON.stringify({ type: "message", message });
    for (const client of server.clients) {
      if (client.readyState === WebSocket.OPEN) client.send(out);
    }
  });
});
