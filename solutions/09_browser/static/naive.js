// A first attempt at a page. Lesson 9 begins with its faults.

const $ = (id) => document.getElementById(id);
const author = new URLSearchParams(location.search).get("author");
let socket;

// --8<-- [start:naive-connect]
function connect() {
  socket = new WebSocket(`ws://${location.host}/board/lobby?author=${author}`, "board.v1");
  socket.addEventListener("message", (event) => receive(JSON.parse(event.data)));
  socket.addEventListener("close", connect);
  $("say").addEventListener("submit", (event) => {
    event.preventDefault();
    socket.send(JSON.stringify({ type: "post", id: `${Math.random()}`, text: $("text").value }));
  });
  socket.send(JSON.stringify({ type: "history", id: "1" }));
}
// --8<-- [end:naive-connect]

// --8<-- [start:naive-receive]
function receive(said) {
  const messages = said.type === "message" ? [said.message] : said.messages ?? [];
  for (const { author, text } of messages) {
    $("messages").innerHTML += `<li><b>${author}</b> ${text}</li>`;
  }
}
// --8<-- [end:naive-receive]

$("cut").addEventListener("click", () => socket.close());
connect();
