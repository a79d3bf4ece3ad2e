"""What has been passed so far, kept in `.course/progress.json` by lesson and by task.

    {"schema": 1, "current": "02_polling", "lessons": {
      "01_rest": {"create": {"passed": "2026-11-23T10:00:00Z", "hints": 2}}}}

What a newer or older course wrote there is kept, even where this one does not know it. Every
change reads the file again and replaces it whole, under a lock, so that two processes do not lose
each other's results.
"""

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from course.lesson.lessons import Lesson
from course.report import LessonResult

try:
    import fcntl
except ImportError:  # Windows locks with msvcrt in its place.
    fcntl = None


class Progress:
    """The progress of whoever learns in this clone.

    `say` is called with a sentence for each thing that went wrong; nothing is raised, because a
    check is worth having even where its result cannot be kept.
    """

    def __init__(self, root: Path, say: Callable[[str], None]) -> None:
        self.path = root / ".course" / "progress.json"
        self._say = say
        self._kept = True  # False once the file cannot be read or written.
        with self._locked():
            self._data = self._read()

    def passed(self, slug: str) -> set[str]:
        """Return the ids of the lesson's tasks that have passed. What passed once stays so."""
        return {name for name, task in self._tasks(slug).items() if task.get("passed")}

    def hints(self, slug: str, task: str) -> int:
        """Return how many hints of the task have been shown."""
        count = self._tasks(slug).get(task, {}).get("hints", 0)
        return count if isinstance(count, int) else 0

    def earned(self, lesson: Lesson) -> int:
        """Return the points earned so far. A task that the course no longer has counts nothing."""
        passed = self.passed(lesson.slug)
        return sum(task.points for task in lesson.tasks if task.id in passed)

    def complete(self, lesson: Lesson) -> bool:
        """Return whether each task of the lesson has passed."""
        return bool(lesson.tasks) and self.passed(lesson.slug) >= {t.id for t in lesson.tasks}

    def current(self, lessons: list[Lesson]) -> Lesson | None:
        """Return the lesson that the learner is at: the one last turned to, or the first not done.

        None where there are no lessons at all.
        """
        turned_to = next((x for x in lessons if x.slug == self._data.get("current")), None)
        undone = (lesson for lesson in lessons if not self.complete(lesson))
        return turned_to or next(undone, lessons[-1] if lessons else None)

    def turn_to(self, slug: str) -> None:
        """Make this the current lesson."""
        if self._data.get("current") != slug:
            self._change(lambda data: data.update(current=slug))

    def record(self, result: LessonResult) -> None:
        """Keep which tasks passed."""
        passed = [task.id for task in result.tasks if task.status == "passed"]
        if not set(passed) <= self.passed(result.slug):
            self._change(lambda data: _mark_passed(data, result.slug, passed))

    def finish(self, lesson: Lesson, lessons: list[Lesson]) -> Lesson | None:
        """Turn from a lesson that is complete to the next one that is not, and return that."""
        place = lessons.index(lesson)
        following = [*lessons[place + 1 :], *lessons[:place]]
        after = next((other for other in following if not self.complete(other)), None)
        self.turn_to((after or lesson).slug)
        return after

    def show_hint(self, slug: str, task: str, number: int) -> None:
        """Keep that the task's hints up to this one have been shown, counting from 1."""

        def change(data: dict) -> None:
            entry = data["lessons"].setdefault(slug, {}).setdefault(task, {})
            entry["hints"] = number

        self._change(change)

    def _tasks(self, slug: str) -> dict[str, dict]:
        return self._data["lessons"].get(slug, {})

    def _change(self, change: Callable[[dict], None]) -> None:
        """Apply a change to what the file says now, and write it."""
        with self._locked():
            if self._kept:
                self._data = self._read()
            change(self._data)
            if self._kept:
                self._write()

    def _read(self) -> dict:
        """Return what the file says; what a new one would say, where there is none to read."""
        new = {"schema": 1, "lessons": {}}
        try:
            data = json.loads(self.path.read_text("utf-8"))
            _check_shape(data)
        except FileNotFoundError:
            return new
        except OSError as error:
            self._stop_keeping(f"The progress in {self.path} cannot be read", error)
            return new
        except (ValueError, RecursionError) as error:
            self._set_aside(error)
            return new
        return data

    def _set_aside(self, error: Exception) -> None:
        """Give a file that makes no sense another name, and say so."""
        name = f"progress.unreadable-{time.strftime('%Y-%m-%d_%H%M%S')}"
        aside = self.path.with_name(f"{name}.json")
        while aside.exists():
            name += "-"
            aside = self.path.with_name(f"{name}.json")
        try:
            os.replace(self.path, aside)
        except OSError as problem:
            self._stop_keeping(f"The progress in {self.path} makes no sense ({error})", problem)
            return
        self._say(
            f"The progress in {self.path} made no sense ({error}). It was set aside as {aside}. "
            "`python3 -m course check --all` fills in a new one."
        )

    def _write(self) -> None:
        """Replace the file as a whole, so that nobody ever reads half of it."""
        fresh = self.path.with_name(f"progress.{os.getpid()}.tmp")
        try:
            with open(fresh, "w", encoding="utf-8") as file:
                json.dump(self._data, file, indent=1)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(fresh, self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                fresh.unlink()
            self._stop_keeping(f"The progress cannot be written to {self.path}", error)

    def _stop_keeping(self, what: str, error: OSError) -> None:
        """Go on without the file, and say so once."""
        if self._kept:
            reason = error.strerror or type(error).__name__
            self._say(f"{what}: {reason}. What passes from here on is not kept.")
        self._kept = False

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock of the progress file, where this file system has locks."""
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                lock = stack.enter_context(open(self.path.with_name("progress.lock"), "ab"))
                stack.enter_context(_exclusive(lock.fileno()))
            yield


@contextlib.contextmanager
def _exclusive(descriptor: int) -> Iterator[None]:
    """Lock a file against other processes. Raises OSError where that cannot be had."""
    if fcntl:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # Closing the file unlocks it.
        yield
        return
    import msvcrt

    os.lseek(descriptor, 0, os.SEEK_SET)
    msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)
    try:
        yield
    finally:
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)


def _check_shape(data: object) -> None:
    """Raise ValueError unless the data is what this module writes, as far as it is read again."""
    lessons = data.get("lessons") if isinstance(data, dict) else None
    if not isinstance(lessons, dict):
        raise ValueError("it has no lessons")
    for slug, tasks in lessons.items():
        entries = tasks.values() if isinstance(tasks, dict) else [None]
        if not all(isinstance(entry, dict) for entry in entries):
            raise ValueError(f"what it says of {slug} is no table of tasks")


def _mark_passed(data: dict, slug: str, passed: list[str]) -> None:
    """Note the tasks that passed, with the time in UTC at which they first did."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    tasks = data["lessons"].setdefault(slug, {})
    for name in passed:
        entry = tasks.setdefault(name, {})
        if not entry.get("passed"):
            entry["passed"] = now
