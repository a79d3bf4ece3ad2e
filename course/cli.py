"""The commands of `python3 -m course`. Each command imports what it needs when it is called."""

import sys
import time
from pathlib import Path

import click

from course.lesson.lessons import ROOT, Lesson, UnknownLesson, find, lessons
from course.report import FORMATS


def main() -> int:
    """Run the command on the command line and return its exit status.

    0: success; 1: a task or a test failed; 2: wrong usage, or a problem with this machine.
    """
    _prepare()
    try:
        status = course.main(prog_name="python3 -m course", standalone_mode=False)
        return status if isinstance(status, int) else 0
    except click.ClickException as error:
        error.show()
        return 2
    except (KeyboardInterrupt, click.Abort):
        say("Stopped.")
        return 130
    except UnknownLesson as error:
        say(str(error))
        return 2
    except Exception as error:
        return _explain(error)


def _prepare() -> None:
    """Escape characters that the terminal can't show, and exit cleanly on signals."""
    import signal

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    for name in ("SIGTERM", "SIGHUP"):
        # nohup ignores SIGHUP on purpose, so an ignored signal stays ignored.
        number = getattr(signal, name, None)
        if number and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, lambda number, _: sys.exit(128 + number))


def _explain(error: Exception) -> int:
    """Report the error in one sentence, and return the exit status."""
    from course.learner.refusal import Refusal
    from course.lesson.regions import MarkerError

    if isinstance(error, Refusal | MarkerError):
        say(str(error))
        return 2
    what = f"{type(error).__name__}: {error}".splitlines()[0]
    say(f"The course itself failed, not your code ({what}). Details: {_save_details(error)}")
    return 2


def _save_details(error: Exception) -> str:
    """Write the traceback to a file and return its path, or the text if it can't be written."""
    import tempfile
    import traceback

    command = " ".join(sys.argv[1:])
    text = "".join(traceback.format_exception(error))
    details = f"python3 -m course {command}\nPython {sys.version} on {sys.platform}\n\n{text}"
    name = f"crash-{time.strftime('%Y%m%d-%H%M%S')}.txt"
    for folder in (ROOT / ".course", Path(tempfile.gettempdir())):
        try:
            folder.mkdir(exist_ok=True)
            (folder / name).write_text(details, "utf-8", "backslashreplace")
            return str(folder / name)
        except OSError:
            continue
    return details


def say(sentence: str) -> None:
    """Write a sentence to stderr."""
    sys.stderr.write(sentence.rstrip() + "\n")
    sys.stderr.flush()


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def course(context: click.Context) -> int | None:
    """Beyond REST: a course on Flask and WebSockets.

    Without a command, it shows the course map and grades the current lesson at each save.
    """
    if context.invoked_subcommand:
        return None
    from course.learner.paint import Painter, make_console

    known, progress = lessons(), _progress()
    here = progress.current(known)
    if here is None:
        raise click.ClickException("No lessons found. Is this a complete clone of the course?")
    painter = Painter(make_console(sys.stdout))
    for line in [*painter.course_map(known, progress, here), ""]:
        painter.console.print(line, soft_wrap=True)
    if sys.stdin.isatty() and sys.stdout.isatty():
        return _watch(known, here)
    return _check([here])


def _watch(known: list[Lesson], here: Lesson) -> int:
    """Show the watch screen until the learner quits."""
    from course.grading.engine import Engine
    from course.learner.paint import make_console
    from course.learner.progress import Progress
    from course.learner.screen import View
    from course.learner.watch import Watch

    said: list[str] = []
    view = View(known, Progress(ROOT, said.append), here)
    Watch(view, make_console(sys.stdout), Engine, said).run()
    return 0


def _progress():
    from course.learner.progress import Progress

    return Progress(ROOT, say)


def _current() -> Lesson:
    """Return the learner's current lesson."""
    here = _progress().current(lessons())
    if here is None:
        raise click.ClickException("No lessons found. Is this a complete clone of the course?")
    return here


def _named(names: tuple[str, ...]) -> list[Lesson]:
    """Return the lessons with these names, each once, in the order given.

    Raises UnknownLesson for an unknown name, and Refusal for a task's name, which only `hint` and
    `reset` accept.
    """
    from course.learner.refusal import Refusal, command

    found: dict[Lesson, None] = {}
    here = None
    for name in names:
        try:
            here = find(name)
        except UnknownLesson:
            here = here or _current()
            if name not in [task.id for task in here.tasks]:
                raise
            whole = f"Check the whole lesson: {command(f'check {here.number}')}."
            raise Refusal(f"{name!r} is a task of {here.slug}. {whole}") from None
        found[here] = None
    return list(found)


def _check(found: list[Lesson], **options: object) -> int:
    from course.learner.check import Request, check

    return check(Request(found, ROOT, **options), say)


def _report_options(command):
    """Add an option for each format of a report, such as `--json FILE`."""
    for known in reversed(FORMATS):
        text = f"Write a {known.shown} report; - is stdout."
        option = click.option(f"--{known.name}", type=Path, metavar="FILE", help=text)
        command = option(command)
    return command


@course.command()
@click.argument("names", nargs=-1, metavar="[LESSON...]")
@click.option("--all", "every", is_flag=True, help="Check every lesson.")
@click.option("--from", "source", type=Path, metavar="DIR", help="Grade DIR instead of lessons/.")
@_report_options
@click.option("--seed", type=int, metavar="N", help="Repeat the random data of an earlier check.")
@click.option("--verbose", is_flag=True, help="Show every card and everything recorded.")
def check(names: tuple[str, ...], every: bool, source: Path | None, **options: object) -> int:
    """Grade your current lesson, or the lessons named.

    With --from and no name, it grades every lesson in that folder.
    """
    from course.learner.check import lessons_in, require_folder

    if every and names:
        raise click.UsageError("--all checks every lesson, so don't name any.")
    if source:
        require_folder(source)
    if every:
        found = lessons()
    elif source and not names:
        found = lessons_in(source, ROOT)
    elif names:
        found = _named(names)
    else:
        found = [_current()]
    reports = {known.name: path for known in FORMATS if (path := options.pop(known.name))}
    return _check(found, source=source, reports=reports, **options)


@course.command()
@click.argument("lesson", required=False)
@click.argument("task", required=False)
def hint(lesson: str | None, task: str | None) -> None:
    """Show the next of three hints: a nudge, a pointer, nearly there.

    Without a TASK, the hint is for the first task that hasn't passed yet.
    """
    from course.learner import hints
    from course.learner.paint import Painter, make_console
    from course.learner.refusal import Refusal

    progress = _progress()
    here, name = _lesson_and_task(lesson, task)
    chosen = hints.find_task(here, name) if name else hints.open_task(here, progress)
    if chosen is None:
        raise Refusal(f"Every task of {here.slug} has passed. Name one to see its hints.")
    shown = hints.next_hint(here, chosen, progress)
    painter = Painter(make_console(sys.stdout))
    for line in painter.hint(shown, here):
        painter.console.print(line, soft_wrap=True)


def _lesson_and_task(lesson: str | None, task: str | None) -> tuple[Lesson, str | None]:
    """Return the lesson and the task to hint at. One name may be a task of the current lesson."""
    if lesson is None:
        return _current(), None
    try:
        return find(lesson), task
    except UnknownLesson:
        here = _current()
        if task is None and lesson in [known.id for known in here.tasks]:
            return here, lesson
        raise


@course.command("run")
@click.argument("lesson")
@click.option("--solution", is_flag=True, help="Run the solution instead of your code.")
def run_lesson(lesson: str, solution: bool) -> None:
    """Run a lesson's app with the workbench.

    The workbench is a page where you talk to the app and watch the wire.
    """
    from course.workbench.bench import run

    run(find(lesson), solution, sys.stdout)


@course.command()
@click.argument("lesson")
@click.option("--anyway", is_flag=True, help="Show it even if a task hasn't passed yet.")
def solution(lesson: str, anyway: bool) -> None:
    """Show your answer beside ours, once every task has passed."""
    from course.learner.hints import open_task
    from course.learner.paint import WIDE, Painter, make_console
    from course.learner.refusal import Refusal, command
    from course.learner.solution import comparison, pairs

    here, progress = find(lesson), _progress()
    if not anyway and not progress.complete(here):
        left = open_task(here, progress)
        what = f"{left.id} hasn't passed yet" if left else "it has no tasks yet"
        again = command(f"solution {here.number} --anyway")
        raise Refusal(f"{here.slug}: {what}. {again} shows the solution anyway.")
    painter = Painter(make_console(sys.stdout), WIDE)
    for line in comparison(pairs(here), painter):
        painter.console.print(line, soft_wrap=True)


@course.command()
@click.argument("lesson")
@click.argument("task", required=False)
def reset(lesson: str, task: str | None) -> None:
    """Restore the starter of a lesson, or of one task.

    Your files are copied to .course/kept first.
    """
    from course.learner import reset as starters
    from course.learner.hints import find_task

    here = find(lesson)
    said = starters.reset_task(here, find_task(here, task)) if task else starters.reset(here)
    _progress().turn_to(here.slug)
    for sentence in said:
        click.echo(sentence)


@course.command()
def status() -> None:
    """Show the course map with your points."""
    from course.learner.paint import Painter, make_console

    known, progress = lessons(), _progress()
    painter = Painter(make_console(sys.stdout))
    for line in painter.course_map(known, progress, progress.current(known)):
        painter.console.print(line, soft_wrap=True)


@course.command()
def docs() -> None:
    """Serve the site on this machine, and open it in a browser."""
    from course.learner.site import serve

    serve(ROOT, sys.stdout)


@course.command()
def doctor() -> int:
    """Check that this machine has what each lesson needs."""
    from course.learner.doctor import examine

    return examine(ROOT, sys.stdout)


@course.command()
@click.option("--quick", is_flag=True, help="Finish within half a minute, with fewer runs.")
@click.option(
    "--every",
    "gap",
    type=click.FloatRange(2, 3600),
    metavar="SECONDS",
    help="Post a message every SECONDS instead of every second. Takes 12 times SECONDS.",
)
def measure(quick: bool, gap: float | None) -> int:
    """Measure polling, long polling, SSE and WebSocket side by side."""
    from course.measuring.command import run

    return run(ROOT, quick, gap)


@course.group("class")
def classroom() -> None:
    """For teachers: grade submissions, and export the grades."""


@classroom.command("grade")
@click.argument("folder", type=Path)
@click.option("--lesson", "names", multiple=True, metavar="N", help="Grade lesson N. Repeatable.")
@click.option("--out", type=Path, metavar="DIR", help="Write the reports to DIR.")
@click.option("--jobs", type=click.IntRange(1), metavar="N", help="Grade N lessons at once.")
@click.option(
    "--deadline",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"]),
    metavar="TIME",
    help="Of a git bundle, grade the last commit before TIME. Mark others as late.",
)
@click.option("--seed", type=int, metavar="N", help="Derive each submission's seed from N.")
@click.option("--trust", is_flag=True, help="Grade without a container.")
def grade_class(
    folder: Path, names: tuple[str, ...], out: Path | None, jobs: int | None, **options
) -> int:
    """Grade a folder of submissions.

    FOLDER has a folder, a zip file or a git bundle for each learner. Without --lesson, it grades
    every lesson that a submission contains. The reports are written to FOLDER-grades, unless --out
    names another folder. After an interruption, the same command goes on from where it stopped.
    """
    from course.classroom.grade import Request, grade

    named = folder if folder.name.strip(".") else folder.resolve()
    out = out or named.with_name(f"{named.name}-grades")
    found = _named(names)
    return grade(Request(folder, out, found, jobs=jobs or 0, **options), sys.stdout)


def _lesson_option(command):
    """Add the option for the lessons, of which at least one must be named."""
    text = "Grade lesson N. Repeatable."
    option = click.option("--lesson", "names", multiple=True, required=True, metavar="N", help=text)
    return option(command)


@classroom.command()
@click.argument("submission", type=Path)
@_lesson_option
@click.option("--as", "name", required=True, metavar="FORMAT", help="The format of the report.")
@click.option("--out", type=Path, required=True, metavar="FILE", help="Write it here; - is stdout.")
@click.option("--fail", is_flag=True, help="Exit with 1 unless every task passed.")
def autograde(submission: Path, names: tuple[str, ...], name: str, out: Path, fail: bool) -> int:
    """Grade one submission for a platform's autograder.

    It writes the report in the platform's format: actions, classroom50, exercism, gradescope, json
    or junit. The submission isn't graded in a container, since the platform isolates it. The exit
    status is 0 if it was graded.
    """
    import io

    from course.classroom.autograde import EXPORTS, autograde
    from course.learner.check import write

    if name not in EXPORTS:
        raise click.UsageError(f"--as takes one of: {', '.join(sorted(EXPORTS))}.")
    report = io.BytesIO()
    passed = autograde(submission, _named(names), name, report)
    write(out, report.getvalue())
    return 1 if fail and not passed else 0


@classroom.command()
@click.argument("platform", type=click.Choice(["canvas", "moodle"]))
@click.argument("grades", type=Path)
@click.argument("sheet", type=Path)
@click.option("--out", type=Path, required=True, metavar="FILE", help="Write it here; - is stdout.")
@click.option("--assignment", metavar="NAME", help="The assignment's name in Canvas.")
def sheet(platform: str, grades: Path, sheet: Path, out: Path, assignment: str | None) -> int:
    """Fill grades into a sheet of Moodle or Canvas.

    SHEET is what the platform exported. GRADES is the grades.json of `class grade`.
    """
    from course.classroom import canvas, moodle
    from course.classroom.sheet import read_book, read_rows
    from course.learner.check import write
    from course.learner.paint import printable

    book, rows = read_book(grades), read_rows(sheet)
    if platform == "canvas":
        if not assignment:
            raise click.UsageError("Canvas needs --assignment with the assignment's name.")
        filled = canvas.fill(rows, book, assignment)
    else:
        filled = moodle.fill(rows, book)
    write(out, filled.as_csv())
    for name in filled.unmatched:
        say(f"{printable(name)} isn't in {sheet}.")
    return 1 if filled.unmatched else 0


@classroom.command()
@_lesson_option
@click.option("--out", type=Path, required=True, metavar="FILE", help="Write the zip file here.")
def gradescope(names: tuple[str, ...], out: Path) -> None:
    """Write the zip file of an autograder for Gradescope."""
    from course.classroom.gradescope import autograder
    from course.learner.check import write

    write(out, autograder(ROOT, _named(names)))


@classroom.command()
@_lesson_option
@click.option("--out", type=Path, required=True, metavar="FILE", help="Write it here; - is stdout.")
def actions(names: tuple[str, ...], out: Path) -> None:
    """Write a workflow that grades each push with GitHub Actions."""
    from course.classroom.actions import workflow
    from course.learner.check import write

    write(out, workflow(_named(names)))


@classroom.command()
@_lesson_option
@click.option("--out", type=Path, required=True, metavar="FILE", help="Write it here; - is stdout.")
def classroom50(names: tuple[str, ...], out: Path) -> None:
    """Write the autograder.py of an assignment in Classroom 50."""
    from course.classroom.classroom50 import autograder
    from course.learner.check import write

    write(out, autograder(_named(names)))


@classroom.command()
@click.option("--out", type=Path, required=True, metavar="DIR", help="Make the kit in DIR.")
@click.option(
    "--system",
    "systems",
    multiple=True,
    type=click.Choice(["linux", "linux-arm", "mac", "mac-intel", "windows"]),
    help="Add wheels for a system. Repeatable. Without it: linux, mac and windows.",
)
@click.option(
    "--python",
    "pythons",
    multiple=True,
    metavar="VERSION",
    help="Add wheels for a Python. Repeatable. Without it: 3.11, 3.12 and 3.13.",
)
@click.option("--zip", "as_zip", is_flag=True, help="Make a zip file of it.")
def kit(out: Path, systems: tuple[str, ...], pythons: tuple[str, ...], as_zip: bool) -> None:
    """Make a kit for a room without internet.

    It has the course, wheels of its packages, and the site.
    """
    from course.classroom.kit import make, zipped

    make(ROOT, out, systems, pythons, click.echo)
    click.echo(f"The kit is in {zipped(out) if as_zip else out}. Open its START.html.")


@course.command("test")
@click.option("--lesson", metavar="N", help="Test the grader of one lesson instead of all.")
@click.option("--jobs", type=click.IntRange(1), metavar="N", help="Run N tests at once.")
def test_everything(lesson: str | None, jobs: int | None) -> int:
    """Test the course itself: rules, graders, runner and site."""
    from course.author.test_all import run

    slug = find(lesson).slug if lesson else ""
    return run(ROOT, sys.stdout, lesson=slug, jobs=jobs or 0)


@course.group()
def dev() -> None:
    """For authors: write starters, check rules, test graders."""


@dev.command()
def pictures() -> None:
    """Draw the pictures of the home page and the README again."""
    from course.author.pictures import draw

    for file in draw(ROOT):
        click.echo(f"wrote {file.relative_to(ROOT).as_posix()}")


@dev.command()
def sync() -> None:
    """Write lessons/ from solutions/."""
    from course.author.sync import sync as write

    for line in write(ROOT):
        click.echo(line)


@dev.command("check")
def check_rules() -> int:
    """Check every rule of the course. Each message says what to do."""
    from course.author.rules import check as refusals

    found = refusals(ROOT)
    for refusal in found:
        click.echo(refusal)
    if not found:
        click.echo("Every rule passes.")
    return 1 if found else 0


@dev.command()
@click.argument("names", nargs=-1, metavar="[LESSON...]")
@click.option("--from", "file", type=Path, metavar="FILE", help="Grade the answers in FILE.")
@click.option("--only", metavar="TASK", default="", help="Grade only the answers of one task.")
@click.option("--jobs", type=click.IntRange(1), metavar="N", help="Grade N answers at once.")
@click.option("--resume", is_flag=True, help="Skip answers that the last run judged correctly.")
def answers(names: tuple[str, ...], file: Path | None, jobs: int | None, **options) -> int:
    """Test the graders with right and wrong answers.

    A right answer must pass; a wrong one must fail the task that it names.
    """
    from course.author.judge import Request, judge

    if file and not file.is_file():
        raise click.ClickException(f"{file} is not a file. --from takes a file of answers.")
    slugs = tuple(find(name).slug for name in names)
    return judge(Request(slugs, file, jobs=jobs or 0, **options), sys.stdout)
