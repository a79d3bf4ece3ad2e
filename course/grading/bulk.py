"""What the commands that grade many folders share: `dev answers` and `class grade`."""

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from course.grading.engine import Job
from course.lesson.lessons import ROOT, Lesson
from course.lesson.starter import files
from course.report import LessonResult


def at_once(jobs: int) -> int:
    """Return how many folders to grade at once: `jobs`, or as many as this machine can."""
    # Grading waits for more than half of its time, so each core can grade three folders.
    return jobs or 3 * (os.cpu_count() or 1)


class Countdown:
    """Counts what is done, and estimates the time left."""

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0
        self._started = time.monotonic()

    def next(self) -> str:
        """Count one more. Returns how far it is: " 12/300  4:10 left"."""
        self._done += 1
        passed = time.monotonic() - self._started
        left = round(passed / self._done * (self._total - self._done))
        done = f"{self._done:>{len(str(self._total))}}/{self._total}"
        return f"{done}  {left // 60}:{left % 60:02} left"


# Results of an earlier run


def digest(lesson: Lesson, *said: object) -> "hashlib._Hash":
    """Return a hash of all that a verdict depends on besides the answer: `said`, and the grader."""
    graders = [lesson.test, *lesson.root.glob(f"tests/probes/{lesson.slug}.*")]
    graders += [*files(lesson.solution).values(), *(ROOT / "course" / "grading").glob("*.py")]
    found = hashlib.sha256(json.dumps(said).encode())
    for path in sorted(path for path in graders if path.is_file()):
        found.update(path.read_bytes())
    return found


def kept(file: Path) -> list:
    """Return what `keep` wrote to the file. A line that an interruption cut off is left out."""
    found = []
    try:
        lines = file.read_bytes().split(b"\n")
    except OSError:
        return []
    for line in lines:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def keep(file: Path, value: object) -> None:
    """Append a value to the file, as a line of JSON."""
    file.parent.mkdir(exist_ok=True)
    with file.open("ab") as out:
        # The line break comes first, so that this line is whole even if the last one isn't.
        out.write(b"\n" + json.dumps(value).encode())


# Side by side


def side_by_side(
    jobs: list[Job],
    count: int,
    one: Callable[[Job], LessonResult],
    on_result: Callable[[Job, LessonResult], None],
    stop: Callable[[], None],
) -> None:
    """Grade each job with `one`, `count` at a time. `on_result` runs in one thread at a time.

    On Ctrl-C, and if a call raises an exception, `stop` must end the calls that still run.
    """
    telling = threading.Lock()

    def work(job: Job) -> None:
        result = one(job)
        with telling:
            on_result(job, result)

    pool = ThreadPoolExecutor(count)
    try:
        for done in as_completed([pool.submit(work, job) for job in jobs]):
            done.result()
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        stop()
        raise
    finally:
        pool.shutdown()
