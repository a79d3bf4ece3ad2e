"""Show the results as a table, and save them as JSON. plot.py draws the plot."""

import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from course.measuring.plot import plot
from course.measuring.runs import CLIENTS, Plan, Result


def table(results: list[Result], plan: Plan) -> Table:
    """Return the table for a terminal."""
    shown = Table(box=None, pad_edge=False)
    shown.add_column("transport", no_wrap=True)
    for name in ("requests", "bytes", "median age", "99%", f"CPU in {plan.seconds:g} s", "memory"):
        shown.add_column(name, justify="right", no_wrap=True)
    for row in rows(results):
        shown.add_row(*row)
    return shown


def rows(results: list[Result]) -> list[tuple[str, ...]]:
    """Return the table's cells, as text with units."""
    return [
        (
            result.transport.name,
            f"{result.requests_a_message:.2f}",
            f"{result.bytes_a_message:,.0f}",
            *(_time(age) for age in result.ages),
            f"{result.cpu:.2f} s",
            f"{result.memory / 2**20:.0f} MB",
        )
        for result in results
    ]


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.3g} s"


def say(results: list[Result], plan: Plan, where: str, console: Console) -> None:
    """Print the table and its conditions."""
    console.print(table(results, plan))
    runs = f"{plan.runs} run" + ("s" if plan.runs > 1 else "")
    console.print(
        f"\n{CLIENTS} clients in one room, a message every {plan.gap:g} s, {runs} of "
        f"{plan.seconds:g} s each. Requests and bytes are for each message that a client received."
        f"\n{where}"
    )


def keep(results: list[Result], plan: Plan, where: str, folder: Path) -> list[Path]:
    """Write the JSON and the plot to the folder, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    data = {
        "schema": 1,
        "machine": where,
        "clients": CLIENTS,
        "seconds_between_messages": plan.gap,
        "seconds_a_run": plan.seconds,
        "transports": [_as_json(result) for result in results],
    }
    files = [folder / f"measure.{kind}" for kind in ("json", "svg")]
    files[0].write_text(json.dumps(data, indent=2) + "\n", "utf-8")
    files[1].write_text(plot(results, where), "utf-8")
    return files


def _as_json(result: Result) -> dict:
    median, high = result.ages
    return {
        "name": result.transport.name,
        "lesson": result.transport.slug,
        "runs": len(result.runs),
        "messages_that_reached_a_client": result.deliveries,
        "requests_a_message": round(result.requests_a_message, 4),
        "bytes_a_message": round(result.bytes_a_message, 1),
        "age_median_seconds": round(median, 5),
        "age_99_percent_seconds": round(high, 5),
        "cpu_seconds_a_run": [round(run.cpu, 3) for run in result.runs],
        "memory_bytes": [run.memory for run in result.runs],
    }
