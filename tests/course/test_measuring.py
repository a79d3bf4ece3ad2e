"""What `measure` counts, and its message if it can't."""

import asyncio
import io
import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from course.lesson.lessons import ROOT
from course.measuring import command, readers, runs, tables
from course.measuring.plot import Axis, plot
from course.measuring.readers import Meter
from course.measuring.runs import Plan, Result, Run, Transport

REPLY = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 26\r\n"
    b'ETag: "1"\r\nConnection: close\r\n\r\n{"messages": [], "next": 3}'[:-1]
)


def test_every_byte_of_a_request_and_its_answer_is_counted():
    heard: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(len(await reader.readuntil(b"\r\n\r\n")))
        writer.write(REPLY)
        writer.close()

    async def ask(meter: Meter) -> bytes:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            _, body = await readers.answer(port, meter, "GET", "/rooms/a/messages", {})
            return body

    meter = Meter(running=True)
    body = asyncio.run(asyncio.wait_for(ask(meter), 30))

    assert body == REPLY.partition(b"\r\n\r\n")[2]
    assert (meter.requests, meter.sent, meter.received) == (1, heard[0], len(REPLY))


def test_nothing_is_counted_before_or_after_a_run():
    meter = Meter()

    meter.count(requests=1, sent=2, received=3)
    meter.see({"sent_at": "2026-11-23T10:00:00Z"})

    assert meter == Meter()


@pytest.fixture
def results() -> list[Result]:
    """Two transports, of two runs each."""

    def result(name: str, requests: int, ages: list[float]) -> Result:
        run = Run(2, requests, 1000, 3000, ages, 0.25, 30 * 2**20)
        return Result(Transport(name, "02_polling", readers.poll, 1.0), [run, run])

    return [result("polling, 1 s", 8, [0.25, 0.5, 0.75, 1.5]), result("SSE", 0, [0.004] * 4)]


def test_a_result_is_for_each_message_that_a_client_received(results):
    polling = results[0]

    assert polling.deliveries == 8
    assert polling.requests_a_message == 2.0
    assert polling.bytes_a_message == 1000.0
    assert polling.ages == (0.625, 1.5)


def test_the_table_has_a_line_for_each_transport(results):
    out = io.StringIO()

    tables.say(results, Plan(2, 12.0), "Linux, 2 cores", Console(file=out, width=80))

    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    assert (
        "\n".join(["", *lines, ""])
        == """
transport     requests  bytes  median age    99%  CPU in 12 s  memory
polling, 1 s      2.00  1,000      625 ms  1.5 s       0.25 s   30 MB
SSE               0.00  1,000        4 ms   4 ms       0.25 s   30 MB

20 clients in one room, a message every 1 s, 2 runs of 12 s each. Requests and
bytes are for each message that a client received.
Linux, 2 cores
"""
    )


def test_the_json_and_the_plot_are_saved(results, tmp_path):
    files = tables.keep(results, Plan(2, 12.0), "Linux, 2 cores", tmp_path / "new")

    data = json.loads(files[0].read_text("utf-8"))
    assert [t["bytes_a_message"] for t in data["transports"]] == [1000.0, 1000.0]
    assert files[1].read_text("utf-8") == plot(results, "Linux, 2 cores")


def test_the_plot_shows_each_transport_with_its_axes_and_units(results):
    svg = ElementTree.fromstring(plot(results, "2 cores of <AMD> & more"))

    texts = ["".join(text.itertext()) for text in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == [
        *("polling, 1 s", "SSE"),
        *("1,000", "10,000", "bytes for each message (log scale)", "1,000", "1,000"),
        *("1 ms", "10 ms", "100 ms", "1 s", "10 s"),
        *("age of a message when it is received (log scale)", "median to 99th percentile"),
        "2 cores of <AMD> & more",
    ]


def test_the_plot_puts_larger_values_further_right_and_a_decade_apart_alike():
    axis = Axis([68.0, 3846.0], 100)

    assert axis.ticks() == [10, 100, 1000, 10000]
    places = [axis.x(value) for value in (10, 68, 100, 1000, 3846, 10000)]
    assert places == sorted(places)
    assert places[0] == axis.left
    assert places[3] - places[2] == pytest.approx(places[2] - places[0])


def test_the_plot_has_a_place_for_a_message_of_no_age(results):
    at_once = Run(2, 0, 1000, 3000, [0.0, 0.0], 0.25, 30 * 2**20)

    svg = plot([Result(results[1].transport, [at_once])], "a coarse clock")

    assert "0.1 ms" in svg


def test_rare_messages_are_also_polled_for_every_half_minute():
    names = [transport.name for transport in runs.every(60).transports]

    assert names == ["polling, 1 s", "polling, 5 s", "polling, 30 s", *_names(runs.PUSHED)]
    assert runs.every(5).transports == runs.TRANSPORTS


def _names(transports: list[Transport]) -> list[str]:
    return [transport.name for transport in transports]


def test_a_run_counts_the_messages_that_its_plan_asks_for(monkeypatch):
    posted: list[str] = []

    async def post(port: int, room: str, text: str) -> None:
        posted.append(text)

    async def see(port: int, room: str, meter: Meter, phase: float) -> None:
        while True:
            meter.see({"sent_at": "2026-11-23T10:00:00Z"})
            await asyncio.sleep(0.01)

    monkeypatch.setattr(readers, "post", post)
    monkeypatch.setattr(runs, "TRANSPORTS", [Transport("SSE", "04_sse", see, settle=0.0)])

    results = runs.measure(ROOT, runs.every(0.2), lambda transport, seconds: None)

    assert len(posted) == 2
    assert [run.messages for run in results[0].runs] == [2]


def test_without_a_solution_it_says_so(tmp_path, capsys):
    status = command.run(tmp_path, quick=True)

    assert status == 2
    assert capsys.readouterr().err == (
        "solutions/02_polling is not there, so nothing can be measured.\n"
    )


def test_a_solution_that_does_not_start_is_named(tmp_path, capfd):
    for transport in runs.TRANSPORTS:
        shutil.copytree(
            ROOT / "solutions" / "01_rest",
            tmp_path / "solutions" / transport.slug,
            dirs_exist_ok=True,
        )
    Path(tmp_path, "solutions", "02_polling", "app.py").write_text("raise SystemExit(1)", "utf-8")

    status = command.run(tmp_path, quick=True)

    assert status == 2
    assert "solutions/02_polling did not start." in capfd.readouterr().err


QUICK = [transport for transport in runs.TRANSPORTS if transport.settle <= 1]


@pytest.mark.parametrize("transport", QUICK, ids=_names(QUICK))
def test_each_transport_delivers_the_messages(monkeypatch, transport):
    monkeypatch.setattr(runs, "TRANSPORTS", [transport])

    [result] = runs.measure(ROOT, Plan(runs=1, seconds=1.2, gap=0.4), lambda *_: None)

    assert result.deliveries >= runs.CLIENTS
    assert result.bytes_a_message > 0
    if transport.name in ("SSE", "WebSocket"):
        assert result.requests_a_message == 0
    if transport.name == "polling, 0.2 s":
        assert result.requests_a_message > 1
