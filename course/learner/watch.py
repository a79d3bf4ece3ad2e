"""Grade the current lesson at each save, and show what works and what does not."""

import contextlib
import os
import queue
import random
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from course.learner import keyboard, site, work
from course.learner.paint import WIDE, WIDEST, Painter, is_dumb
from course.learner.saves import Saved, Saves
from course.learner.screen import View, frame
from course.lesson.lessons import Lesson, pictures
from course.report import LessonResult, TaskResult


@dataclass(frozen=True)
class Key:
    """A key was pressed."""

    name: str


@dataclass(frozen=True)
class Resized:
    """The window may have another size."""


@dataclass(frozen=True)
class Judged:
    """The check with this number judged a task."""

    run: int
    result: TaskResult


@dataclass(frozen=True)
class Checked:
    """The check with this number is done."""

    run: int
    result: LessonResult


@dataclass(frozen=True)
class Said:
    """Something to tell the learner."""

    text: str


@dataclass(frozen=True)
class Broken:
    """The runner itself failed, in another thread."""

    error: BaseException


Put = Callable[[object], None]


class Grader:
    """Grades in a thread of its own. A new request ends the one that is running."""

    def __init__(self, put: Put, make_engine: Callable) -> None:
        self._put, self._make = put, make_engine
        self._news = threading.Condition()
        self._wanted: tuple[Lesson, str, int] | None = None
        self._latest = 0
        self._closed = False
        self._engine = None
        self._slug = ""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def check(self, lesson: Lesson, first: str, run: int) -> None:
        """Grade the lesson; its events carry the number `run`, which rises with each request.

        The task `first`, if any, is graded at once by itself, as the learner waits for that one.
        """
        with self._news:
            self._wanted, self._latest = (lesson, first, run), run
            self._news.notify()
        self._cancel()

    def close(self) -> None:
        """End the running check, the graders and the thread."""
        with self._news:
            self._closed, self._latest = True, -1
            self._news.notify()
        self._cancel()
        self._thread.join()

    def _cancel(self) -> None:
        if engine := self._engine:
            engine.cancel()

    def _run(self) -> None:
        try:
            while job := self._next():
                self._grade(*job)
        except BaseException as error:
            self._put(Broken(error))
        finally:
            if self._engine:
                self._engine.close()

    def _next(self) -> tuple[Lesson, str, int] | None:
        with self._news:
            self._news.wait_for(lambda: self._wanted or self._closed)
            job, self._wanted = self._wanted, None
            return None if self._closed else job

    def _grade(self, lesson: Lesson, first: str, run: int) -> None:
        from course.grading.engine import Cancelled, Finished, Job

        engine = self._engine_for(lesson)

        def on_event(event: object) -> None:
            if run != self._latest:
                # The next request came before this check could be cancelled.
                engine.cancel()
            elif isinstance(event, Finished):
                self._put(Judged(run, event.result))

        seed = random.randrange(10**6)
        job = Job(lesson.slug, lesson.lesson, pictures=pictures(lesson.root))
        with contextlib.suppress(Cancelled):
            if first:
                engine.grade([replace(job, tasks=(first,))], seed, on_event)
            [result] = engine.grade([job], seed, on_event)
            self._put(Checked(run, result))

    def _engine_for(self, lesson: Lesson):
        """Return graders for this lesson; those for another one end, to leave its memory free."""
        if self._slug != lesson.slug:
            if self._engine:
                self._engine.close()
            self._engine, self._slug = self._make([lesson.slug]), lesson.slug
        return self._engine


class Watch:
    """The watch screen's loop: takes what happens, one thing after another, and draws."""

    def __init__(
        self, view: View, console: Console, make_engine: Callable, said: list[str]
    ) -> None:
        self.view, self.console = view, console
        self._make_engine = make_engine
        self._said = said  # What the progress file has to say is put here by its owner.
        # Unlike a Queue this one may be put to by a signal's handler.
        self._events: queue.SimpleQueue = queue.SimpleQueue()
        self._run_number = 0
        self._began = 0.0
        self._unkept: LessonResult | None = None
        self._site: site.Site | None = None
        self._going = True

    def run(self) -> None:
        """Watch until the learner quits."""
        with contextlib.ExitStack() as stack:
            self._grader = Grader(self._events.put, self._make_engine)
            stack.callback(self._grader.close)
            self._saves = Saves(self.view.lesson.lesson, self._events.put)
            stack.callback(self._saves.close)
            self._turn_to(self.view.lesson)
            stack.callback(self._close_site)
            stack.enter_context(_resizes(self._events.put))
            stack.enter_context(keyboard.keys(lambda name: self._events.put(Key(name))))
            draw = stack.enter_context(_surface(self.console))
            while self._going:
                draw(self.view)
                self._keep()
                for event in self._happened():
                    self._take(event)

    def _happened(self) -> Iterator[object]:
        """Yield what has happened, waiting for the first."""
        # Windows tells nobody of a resize, and lets nobody interrupt a wait without an end.
        timeout = 0.5 if os.name == "nt" else None
        with contextlib.suppress(queue.Empty):
            yield self._events.get(timeout=timeout)
            while True:
                yield self._events.get_nowait()

    def _take(self, event: object) -> None:
        view = self.view
        match event:
            case Key(name):
                self._press(name)
            case Saved():
                self._check()
            case Judged(run, result) if run == self._run_number:
                view.results[result.id] = result
                view.fresh.add(result.id)
            case Checked(run, result) if run == self._run_number:
                self._checked(result)
            case Said(text):
                view.notice = text
            case Broken(error):
                raise error

    def _check(self) -> None:
        self._run_number += 1
        self._began = time.monotonic()
        at = self.view.task
        self._grader.check(self.view.lesson, at.id if at else "", self._run_number)
        self.view.checking, self.view.fresh = True, set()

    def _checked(self, result: LessonResult) -> None:
        view = self.view
        view.checking, view.notes = False, result.notes
        view.results = {task.id: task for task in result.tasks}
        view.seconds = time.monotonic() - self._began
        if view.hint and view.hint.task != view.task:
            view.hint = None
        self._unkept = result

    def _keep(self) -> None:
        """Keep what passed. This may wait for the disk, so the verdict is on the screen before."""
        if self._unkept:
            result, self._unkept = self._unkept, None
            self.view.progress.record(result)
            if result.passed:
                self.view.progress.finish(self.view.lesson, self.view.lessons)
            self._events.put(Resized())  # To draw again: a lesson may be complete now.
        while self._said:
            self._events.put(Said(self._said.pop(0)))

    def _press(self, name: str) -> None:
        view = self.view
        view.notice = ""
        if name == keyboard.END:
            self._going = False
            return
        action = {**_KEYS[view.mode]}.get(name)
        try:
            if action:
                getattr(self, f"_{action}")()
        except work.Refusal as refusal:
            view.notice = str(refusal)

    def _quit(self) -> None:
        self._going = False

    def _back(self) -> None:
        self.view.mode, self.view.hint, self.view.chosen = "tasks", None, ""

    def _hint(self) -> None:
        view = self.view
        task = view.task or work.open_task(view.lesson, view.progress)
        if task is None:
            raise work.Refusal("Every task passes: there is nothing to hint at.")
        view.hint = work.next_hint(view.lesson, task, view.progress)

    def _up(self) -> None:
        self._choose_task(-1)

    def _down(self) -> None:
        self._choose_task(1)

    def _choose_task(self, step: int) -> None:
        """Show the card of the task above or below."""
        view = self.view
        if view.tasks:
            place = view.tasks.index(view.task) + step if view.task else 0
            view.chosen = view.tasks[place % len(view.tasks)].id
            view.hint = None

    def _next(self) -> None:
        self._step(1, "This is the last lesson.")

    def _previous(self) -> None:
        self._step(-1, "This is the first lesson.")

    def _step(self, step: int, otherwise: str) -> None:
        place = self.view.lessons.index(self.view.lesson) + step
        if not 0 <= place < len(self.view.lessons):
            raise work.Refusal(otherwise)
        self._go_to(self.view.lessons[place])

    def _go_to(self, lesson: Lesson) -> None:
        self.view.progress.turn_to(lesson.slug)
        self._saves.turn_to(lesson.lesson)
        self._turn_to(lesson)

    def _turn_to(self, lesson: Lesson) -> None:
        old = self.view
        self.view = View(old.lessons, old.progress, lesson, tasks=lesson.tasks)
        self._check()

    def _list(self) -> None:
        self.view.mode, self.view.cursor = "list", self.view.lessons.index(self.view.lesson)

    def _above(self) -> None:
        self.view.cursor = max(self.view.cursor - 1, 0)

    def _below(self) -> None:
        self.view.cursor = min(self.view.cursor + 1, len(self.view.lessons) - 1)

    def _choose(self) -> None:
        self._go_to(self.view.lessons[self.view.cursor])

    def _solution(self) -> None:
        from course.learner.solution import comparison

        if not self.view.progress.complete(self.view.lesson):
            raise work.Refusal("The solution is shown once every task of the lesson has passed.")
        found = work.pairs(self.view.lesson)
        self.view.page = comparison(found, Painter(self.console, WIDE))
        self.view.mode, self.view.offset = "page", 0

    def _scroll_up(self) -> None:
        self.view.offset -= 1

    def _scroll_down(self) -> None:
        self.view.offset += 1

    def _page_up(self) -> None:
        self.view.offset -= self.console.height - 6

    def _page_down(self) -> None:
        self.view.offset += self.console.height - 6

    def _reset(self) -> None:
        self.view.mode = "ask"

    def _yes(self) -> None:
        self._back()
        lesson = self.view.lesson
        self.view.notice = " ".join(work.reset(lesson))
        self._saves.turn_to(lesson.lesson)  # What was written is no save of the learner's.
        self._check()

    def _docs(self) -> None:
        if self._site is None:
            self._site = site.Site(self.view.lesson.root)
        self.view.notice = "Building the site…"
        place = f"lessons/{self.view.lesson.slug}.html"
        threading.Thread(target=self._show_site, args=(self._site, place), daemon=True).start()

    def _show_site(self, site: site.Site, place: str) -> None:
        """Open the page when the site is there."""
        try:
            address = site.wait() + place
        except work.Refusal as refusal:
            self._site = None
            self._events.put(Said(str(refusal)))
            return
        opened = site.open_browser(address)
        self._events.put(
            Said(f"The page is at {address}" + ("" if opened else " (no browser here)"))
        )

    def _close_site(self) -> None:
        if self._site:
            self._site.close()


_MOVES = {"q": "quit", "escape": "back", "b": "back"}
_KEYS = {
    "tasks": {
        **{"h": "hint", "d": "docs", "n": "next", "p": "previous", "l": "list", "s": "solution"},
        **{"r": "reset", "c": "check", "up": "up", "down": "down", "k": "up", "j": "down"},
        **_MOVES,
    },
    "list": {
        **{"up": "above", "down": "below", "k": "above", "j": "below", "enter": "choose"},
        **{"l": "back"},
        **_MOVES,
    },
    "ask": {"y": "yes", "n": "back", **_MOVES},
    "page": {
        **{"up": "scroll_up", "down": "scroll_down", "k": "scroll_up", "j": "scroll_down"},
        **{"page up": "page_up", "page down": "page_down", "s": "back"},
        **_MOVES,
    },
}


@contextlib.contextmanager
def _resizes(put: Put) -> Iterator[None]:
    """Tell of each change of the window's size, where the system does."""
    if not hasattr(signal, "SIGWINCH"):
        yield
        return
    before = signal.signal(signal.SIGWINCH, lambda *_: put(Resized()))
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)


@contextlib.contextmanager
def _surface(console: Console) -> Iterator[Callable[[View], None]]:
    """Give a function that draws: on a screen of its own, or line by line where there is none."""
    if is_dumb():
        yield _Printer(console).draw
        return
    live = Live(
        console=console,
        screen=True,
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
        vertical_overflow="crop",
    )

    def draw(view: View) -> None:
        _measure(console)
        painter = Painter(console, WIDE if view.mode == "page" else WIDEST)
        live.update(Group(*frame(view, painter, console.height)), refresh=True)

    try:
        live.start()
        yield draw
    finally:
        with contextlib.suppress(OSError):  # The terminal may have gone, with its window.
            live.stop()


class _Printer:
    """Prints the screen once for each check, for a terminal that can only print."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last: list[str] = []

    def draw(self, view: View) -> None:
        """Print what is new."""
        if view.checking:
            return
        _measure(self._console)
        lines = frame(view, Painter(self._console), max(self._console.height, 40))
        shown = [line.plain for line in lines if line.plain.strip()]
        if shown != self._last:
            self._console.print(Text("\n").join(lines[: _last_line(lines)]))
            self._last = shown


def _last_line(lines: list[Text]) -> int:
    return max((n for n, line in enumerate(lines, 1) if line.plain.strip()), default=0)


def _measure(console: Console) -> None:
    """Give the console the size that the terminal has now."""
    try:
        size = os.get_terminal_size(sys.stdout.fileno())
    except (OSError, ValueError):
        size = os.terminal_size((0, 0))
    fallback = shutil.get_terminal_size()
    console.size = (size.columns or fallback.columns, size.lines or fallback.lines)
