"""The learner's progress, saved in `.course/progress.json` by lesson and task.

    {"schema": 1, "current": "02_polling", "lessons": {
      "01_rest": {"create": {"passed": "2026-11-23T10:00:00Z", "hints": 2}}}}

Entries that this version of the course doesn't know are preserved. Every change reads the file
again and replaces it as a whole, under a lock, so that two processes don't overwrite each other's
results.
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
except ImportError:  # Windows has msvcrt instead.
    fcntl = None


class Progress:
    """The learner's progress in this clone.

    It never raises an exception, because a check is useful even if its result can't be saved.
    It calls `say` with a sentence for each problem.
    """

    def __init__(self, root: Path, say: Callable[[str], None]) -> None:
        self.path = root / ".course" / "progress.json"
        self._say = say
        self._kept = True  # False once the file can't be read or written.
        with self._locked():
            self._data = self._read()

    def passed(self, slug: str) -> set[str]:
        """Return the ids of the lesson's tasks that have passed at least once."""
        return {name for name, task in self._tasks(slug).items() if task.get("passed")}

    def hints(self, slug: str, task: str) -> int:
        """Return how many hints of the task have been shown."""
        return self._tasks(slug).get(task, {}).get("hints", 0)

    def earned(self, lesson: Lesson) -> int:
        """Return the points earned so far. A task that the course no longer has doesn't count."""
        passed = self.passed(lesson.slug)
        return sum(task.points for task in lesson.tasks if task.id in passed)

    def complete(self, lesson: Lesson) -> bool:
        """Return whether each task of the lesson has passed."""
        return bool(lesson.tasks) and self.passed(lesson.slug) >= {t.id for t in lesson.tasks}

    def current(self, lessons: list[Lesson]) -> Lesson | None:
        """Return the current lesson: the one last chosen, or the first that isn't complete.

        Returns None if there are no lessons.
        """
        turned_to = next((x for x in lessons if x.slug == self._data.get("current")), None)
        undone = (lesson for lesson in lessons if not self.complete(lesson))
        return turned_to or next(undone, lessons[-1] if lessons else None)

    def turn_to(self, slug: str) -> None:
        """Make this the current lesson."""
        if self._data.get("current") != slug:
            self._change(lambda data: data.update(current=slug))

    def record(self, result: LessonResult) -> None:
        """Save which tasks passed."""
        passed = [task.id for task in result.tasks if task.status == "passed"]
        if not set(passed) <= self.passed(result.slug):
            self._change(lambda data: _mark_passed(data, result.slug, passed))

    def finish(self, lesson: Lesson, lessons: list[Lesson]) -> Lesson | None:
        """Make the next incomplete lesson after this one current, and return it."""
        place = lessons.index(lesson)
        following = [*lessons[place + 1 :], *lessons[:place]]
        after = next((other for other in following if not self.complete(other)), None)
        self.turn_to((after or lesson).slug)
        return after

    def show_hint(self, slug: str, task: str, number: int) -> None:
        """Save that the task's hints up to this one, counting from 1, have been shown."""

        def change(data: dict) -> None:
            entry = data["lessons"].setdefault(slug, {}).setdefault(task, {})
            entry["hints"] = number

        self._change(change)

    def _tasks(self, slug: str) -> dict[str, dict]:
        return self._data["lessons"].get(slug, {})

    def _change(self, change: Callable[[dict], None]) -> None:
        """Apply a change to the file's current content, and write it."""
        with self._locked():
            if self._kept:
                self._data = self._read()
            change(self._data)
            if self._kept:
                self._write(self._data)

    def _read(self) -> dict:
        """Return the file's content, or that of a new file if it is missing or can't be read."""
        new = {"schema": 1, "lessons": {}}
        try:
            data, wrong = _sound(json.loads(self.path.read_text("utf-8")))
        except FileNotFoundError:
            return new
        except OSError as error:
            self._stop_keeping(f"The progress in {self.path} can't be read", error)
            return new
        except (ValueError, RecursionError) as error:
            self._set_aside(str(error), "`python3 -m course check --all` writes a new one.")
            return new
        if wrong:
            self._set_aside(wrong, "The rest of it is kept.")
            if self._kept:
                self._write(data)
        return data

    def _set_aside(self, error: str, advice: str) -> None:
        """Rename an invalid file, and say so."""
        name = f"progress.unreadable-{time.strftime('%Y-%m-%d_%H%M%S')}"
        aside = self.path.with_name(f"{name}.json")
        while aside.exists():
            name += "-"
            aside = self.path.with_name(f"{name}.json")
        try:
            os.replace(self.path, aside)
        except OSError as problem:
            self._stop_keeping(f"The progress file {self.path} isn't valid ({error})", problem)
            return
        self._say(
            f"The progress file {self.path} isn't valid ({error}). "
            f"It was renamed to {aside}. {advice}"
        )

    def _write(self, data: dict) -> None:
        """Replace the file atomically, so that no process reads half of it."""
        fresh = self.path.with_name(f"progress.{os.getpid()}.tmp")
        try:
            with open(fresh, "w", encoding="utf-8") as file:
                json.dump(data, file, indent=1)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(fresh, self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                fresh.unlink()
            self._stop_keeping(f"The progress can't be written to {self.path}", error)

    def _stop_keeping(self, what: str, error: OSError) -> None:
        """Continue without the file, and say so once."""
        if self._kept:
            reason = error.strerror or type(error).__name__
            self._say(f"{what}: {reason}. Progress isn't saved from now on.")
        self._kept = False

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Lock the progress file, if the file system supports locks."""
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                lock = stack.enter_context(open(self.path.with_name("progress.lock"), "ab"))
                stack.enter_context(_exclusive(lock.fileno()))
            yield


@contextlib.contextmanager
def _exclusive(descriptor: int) -> Iterator[None]:
    """Lock a file against other processes. Raises OSError if it can't be locked."""
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


def _sound(data: object) -> tuple[dict, str]:
    """Return the data without what this module can't read, and the first thing it can't.

    Raises ValueError if that is all of it.
    """
    lessons = data.get("lessons") if isinstance(data, dict) else None
    if not isinstance(lessons, dict):
        raise ValueError("it has no lessons")
    wrong = []
    if not isinstance(data.get("current", ""), str):
        wrong.append("the current lesson isn't a name")
        del data["current"]
    for slug, tasks in list(lessons.items()):
        if not isinstance(tasks, dict):
            wrong.append(f"{slug} isn't a table of tasks")
            del lessons[slug]
            continue
        for name, entry in list(tasks.items()):
            if why := _fault_of(entry):
                wrong.append(f"{slug}, {name}: {why}")
                del tasks[name]
    return data, wrong[0] if wrong else ""


def _fault_of(entry: object) -> str:
    """Return what is wrong with the entry of a task, or ""."""
    if not isinstance(entry, dict):
        return "it isn't an object"
    hints, passed = entry.get("hints", 0), entry.get("passed", "")
    if type(hints) is not int or hints < 0:
        return "`hints` isn't a number from 0"
    return "" if isinstance(passed, str) else "`passed` isn't a time"


def _mark_passed(data: dict, slug: str, passed: list[str]) -> None:
    """Add the tasks that passed, each with the time (UTC) at which it first passed."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    tasks = data["lessons"].setdefault(slug, {})
    for name in passed:
        entry = tasks.setdefault(name, {})
        if not entry.get("passed"):
            entry["passed"] = now
