"""The command `measure`: a progress bar, then the results and the paths of their files."""

import sys
from pathlib import Path

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from course.learner.paint import make_console
from course.measuring.runs import QUICK, WHOLE, Transport, Unmeasured, every, machine, measure
from course.measuring.tables import keep, say


def run(root: Path, quick: bool, gap: float | None = None) -> int:
    """Measure, print the table, and save plot and JSON in `.course/measure`. Return 0 or 2.

    `gap` is the number of seconds between two messages, if it isn't the usual one.
    """
    plan = every(gap) if gap else QUICK if quick else WHOLE
    console = make_console(sys.stdout)
    columns = (TextColumn("{task.description:<20}"), BarColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=console, transient=True) as progress:
            bar = progress.add_task("starting", total=plan.expected())
            begun: list[float] = []  # the duration of each run so far, in seconds

            def on_run(transport: Transport, seconds: float) -> None:
                progress.update(bar, description=transport.name, completed=sum(begun))
                begun.append(seconds + 0.7)

            results = measure(root, plan, on_run)
    except Unmeasured as error:
        sys.stderr.write(f"{error}\n")
        return 2
    where = machine()
    say(results, plan, where, console)
    for file in keep(results, plan, where, root / ".course" / "measure"):
        console.print(f"Saved: {file.relative_to(root).as_posix()}", soft_wrap=True)
    return 0
