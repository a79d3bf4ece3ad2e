"""Grade the current lesson at each save, and show the results on the watch screen."""

import contextlib
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rich.console import Console

from course.learner import hints, keyboard, keys, site
from course.learner import reset as starters
from course.learner.edits import Edits
from course.learner.grader import Broken, Checked, Grader, Judged, Put
from course.learner.paint import WIDE, Painter
from course.learner.refusal import Refusal
from course.learner.saves import Saved, Saves
from course.learner.screen import View
from course.learner.surface import surface
from course.lesson.lessons import Lesson
from course.report import LessonResult


@dataclass(frozen=True)
class Key:
    """A key was pressed."""

    name: str


@dataclass(frozen=True)
class Resized:
    """The window's size may have changed, so draw again."""


@dataclass(frozen=True)
class Said:
    """A message for the learner."""

    text: str


class Watch:
    """The watch screen's loop: it handles events one by one, and draws."""

    def __init__(
        self, view: View, console: Console, make_engine: Callable, said: list[str]
    ) -> None:
        self.view, self.console = view, console
        self._make_engine = make_engine
        self._said = said  # Progress appends its messages here.
        # Unlike Queue, a signal handler may call put() of a SimpleQueue.
        self._events: queue.SimpleQueue = queue.SimpleQueue()
        self._run_number = 0
        self._began = 0.0
        self._edits = Edits(view.lesson)
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
            draw = stack.enter_context(surface(self.console))
            while self._going:
                draw(self.view)
                self._keep()
                for event in self._happened():
                    self._take(event)

    def _happened(self) -> Iterator[object]:
        """Wait for an event, and yield it and all others that have arrived."""
        # Windows doesn't signal a resize, and Ctrl-C can't interrupt a wait without a timeout.
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
                self._check(self._edits.task())
            case Judged(run, result) if run == self._run_number:
                view.results[result.id] = result
                view.fresh.add(result.id)
            case Checked(run, result) if run == self._run_number:
                self._checked(result)
            case Said(text):
                view.notice = text
            case Broken(error):
                raise error

    def _check(self, edited: str = "") -> None:
        """Grade the lesson, and first the task edited, or else the one whose card is shown."""
        self._run_number += 1
        self._began = time.monotonic()
        shown = self.view.task
        first = edited or (shown.id if shown else "")
        self._grader.check(self.view.lesson, first, self._run_number)
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
        """Save what passed. Writing may be slow, so the screen shows the verdict first."""
        if self._unkept:
            result, self._unkept = self._unkept, None
            self.view.progress.record(result)
            if result.passed:
                self.view.progress.finish(self.view.lesson, self.view.lessons)
            self._events.put(Resized())  # Draw again: a lesson may be complete now.
        while self._said:
            self._events.put(Said(self._said.pop(0)))

    def _press(self, name: str) -> None:
        view = self.view
        view.notice = ""
        if name == keyboard.END:
            self._going = False
            return
        try:
            if does := keys.action(view.mode, name):
                getattr(self, f"_{does}")()
        except Refusal as refusal:
            view.notice = str(refusal)

    def _quit(self) -> None:
        self._going = False

    def _back(self) -> None:
        self.view.mode, self.view.hint, self.view.chosen = "tasks", None, ""

    def _hint(self) -> None:
        view = self.view
        task = view.task or hints.open_task(view.lesson, view.progress)
        if task is None:
            raise Refusal("Every task has passed, so there is nothing to hint at.")
        view.hint = hints.next_hint(view.lesson, task, view.progress)

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
            raise Refusal(otherwise)
        self._go_to(self.view.lessons[place])

    def _go_to(self, lesson: Lesson) -> None:
        self.view.progress.turn_to(lesson.slug)
        self._saves.turn_to(lesson.lesson)
        self._turn_to(lesson)

    def _turn_to(self, lesson: Lesson) -> None:
        old = self.view
        self.view = View(old.lessons, old.progress, lesson, tasks=lesson.tasks)
        self._edits = Edits(lesson)
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
        from course.learner.solution import comparison, pairs

        if not self.view.progress.complete(self.view.lesson):
            raise Refusal("You can see the solution once every task of the lesson has passed.")
        found = pairs(self.view.lesson)
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
        self.view.notice = " ".join(starters.reset(lesson))
        self._saves.turn_to(lesson.lesson)  # A reset doesn't count as a save.
        self._edits = Edits(lesson)
        self._check()

    def _docs(self) -> None:
        if self._site is None:
            self._site = site.Site(self.view.lesson.root)
        self.view.notice = "Building the site…"
        place = f"lessons/{self.view.lesson.slug}.html"
        threading.Thread(target=self._show_site, args=(self._site, place), daemon=True).start()

    def _show_site(self, site: site.Site, place: str) -> None:
        """Open the page once the site is available."""
        try:
            address = site.wait() + place
        except Refusal as refusal:
            self._site = None
            self._events.put(Said(str(refusal)))
            return
        opened = site.open_browser(address)
        self._events.put(
            Said(f"The page is at {address}" + ("" if opened else " (no browser found)"))
        )

    def _close_site(self) -> None:
        if self._site:
            self._site.close()


@contextlib.contextmanager
def _resizes(put: Put) -> Iterator[None]:
    """Report each change of the window's size, if the system signals it."""
    if not hasattr(signal, "SIGWINCH"):
        yield
        return
    before = signal.signal(signal.SIGWINCH, lambda *_: put(Resized()))
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)
