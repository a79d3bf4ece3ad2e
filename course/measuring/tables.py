"""What was measured, as a table, a plot and JSON."""

import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from course.measuring.runs import CLIENTS, GAP, Plan, Result


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
    """Print the table and what it is of."""
    console.print(table(results, plan))
    runs = f"{plan.runs} run" + ("s" if plan.runs > 1 else "")
    console.print(
        f"\n{CLIENTS} clients in one room, a message every {GAP:g} s, {runs} of {plan.seconds:g} s "
        f"each. Requests and bytes are for each message that reached a client.\n{where}"
    )


def keep(results: list[Result], plan: Plan, where: str, folder: Path) -> list[Path]:
    """Write the JSON and the plot into the folder; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    data = {
        "schema": 1,
        "machine": where,
        "clients": CLIENTS,
        "seconds_between_messages": GAP,
        "seconds_a_run": plan.seconds,
        "transports": [_as_json(result) for result in results],
    }
    files = [folder / f"measure.{kind}" for kind in ("json", "svg", "png")]
    files[0].write_text(json.dumps(data, indent=2) + "\n", "utf-8")
    _plot(results, where, files[1:])
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


def _plot(results: list[Result], where: str, files: list[Path]) -> None:
    import matplotlib

    matplotlib.use("agg")
    # The same results give the same file, so that it can be kept in the repository.
    matplotlib.rcParams |= {"svg.hashsalt": "course", "svg.fonttype": "none", "font.size": 10}
    from matplotlib import pyplot

    names = [result.transport.name for result in results][::-1]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.4), sharey=True)
    sizes = [result.bytes_a_message for result in results][::-1]
    bars = left.barh(names, sizes, color="#3f51b5")
    left.bar_label(bars, [f"{size:,.0f}" for size in sizes], padding=3)
    left.set(xscale="log", xlabel="bytes a message", xlim=(50, max(sizes) * 5))
    medians, highs = zip(*(result.ages for result in results[::-1]), strict=True)
    places = range(len(names))
    right.hlines(places, medians, highs, color="#9fa8da", linewidth=4)
    right.plot(medians, places, "o", color="#3f51b5", label="median")
    right.plot(highs, places, "|", color="#3f51b5", markersize=11, label="99th percentile")
    right.set(xscale="log", xlabel="age of a message when it is seen")
    right.legend(frameon=False, loc="lower right")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="x", alpha=0.25)
    left.xaxis.set_major_formatter(lambda size, _: f"{size:,.0f}")
    right.xaxis.set_major_formatter(lambda seconds, _: _time(seconds))
    figure.text(0.5, 0.01, where, fontsize=8, ha="center")
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    for file in files:
        meta = {"Date": None} if file.suffix == ".svg" else None
        figure.savefig(file, dpi=150, metadata=meta)
    pyplot.close(figure)
