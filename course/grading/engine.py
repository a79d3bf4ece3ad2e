"""Grader processes that stay ready, for check, watch and the graders' own test."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from course.grading.children import ADDRESS, Template, can_fork
from course.grading.verdicts import not_judged
from course.grading.waiting import PATIENCE, SECONDS
from course.lesson import machine
from course.lesson.lessons import ROOT, Task, lessons
from course.report import STATUSES, Card, LessonResult, TaskResult
from course.setup import environment

SILENCE = 120 * PATIENCE  # seconds without a word from a grader, after which it counts as lost


@dataclass(frozen=True)
class Job:
    """A lesson to grade, and the folder of the answer. All of its tasks, if none is named."""

    slug: str
    folder: Path
    tasks: tuple[str, ...] = ()
    verbose: bool = False
    pictures: Path | None = None  # the folder for screenshots of a browser
    to_first_failure: bool = False  # end at the first task that does not pass
    lanes: int = 0  # tests at once; 0 is what suits the lesson and this machine
    seed: int | None = None  # of its random data; None is that of all jobs


@dataclass(frozen=True)
class Started:
    """The grading of a lesson has begun."""

    slug: str


@dataclass(frozen=True)
class Finished:
    """All the tests of a task have reported, or never will."""

    slug: str
    result: TaskResult


@dataclass(frozen=True)
class Ended:
    """The grading of a job is over."""

    job: Job
    result: LessonResult


ENDED = "The grader ended before it could judge this."
GARBLED = "The grader's report made no sense. Did your code write to a process of the grader?"

Event = Started | Finished | Ended


class Cancelled(Exception):
    """`cancel()` ended this grading."""


class _Worker:
    """One grader process. worker.py is its other side."""

    def __init__(self, slugs: list[str], template: Template | None) -> None:
        self._slugs = slugs
        self._address = template.address if template else ""
        self._folder = template.folder if template else ""
        self.pid = 0  # of the copy that does the job, where there is fork
        self.busy = False
        self._start()

    def _start(self) -> None:
        ours = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", ADDRESS: self._address}
        if self._folder:
            ours["TMPDIR"] = self._folder
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as the process)
        self.messages: queue.SimpleQueue = queue.SimpleQueue()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "course.grading.worker", *self._slugs],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=ROOT,
            env=environment.for_program(**ours),
            start_new_session=True,  # Ctrl-C in the terminal is for the runner alone.
        )
        reader = threading.Thread(target=self._read, args=(self._process, self.messages))
        reader.daemon = True
        reader.start()

    def _read(self, process: subprocess.Popen, messages: queue.SimpleQueue) -> None:
        for line in process.stdout:
            messages.put(_message(line) or {})
        messages.put(None)

    def send(self, **job: object) -> None:
        """Give it a job. Starts the process again if it has ended."""
        if self._process.poll() is not None:
            self.renew()
        self.busy = True
        with contextlib.suppress(OSError):
            self._process.stdin.write(json.dumps(job).encode() + b"\n")
            self._process.stdin.flush()

    def renew(self) -> None:
        """Start the process anew."""
        self.close()
        self._start()

    def next(self) -> dict | None:
        """Return what it says next; None if it has ended, or said nothing for too long."""
        try:
            return self.messages.get(timeout=SILENCE)
        except queue.Empty:
            self.stop()
            return None

    def stop(self) -> None:
        """End the job that it is at, if any."""
        if not self.busy:
            return
        if not can_fork():
            self._process.kill()
        elif self.pid:  # If not yet known, it is ended as soon as it is.
            with contextlib.suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)

    def last_words(self) -> str:
        """Return the last line that it wrote on stderr."""
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def close(self) -> None:
        """End the process."""
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(SECONDS * PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()


class Engine:
    """Graders kept ready, as many as are useful. Use it as a context manager."""

    def __init__(self, slugs: list[str], workers: int = 1) -> None:
        self._slugs, self._count = slugs, workers
        self._lessons = {lesson.slug: lesson for lesson in lessons()}
        self._start()
        self._cancelled = threading.Event()
        self._telling = threading.Lock()

    def _start(self) -> None:
        self._template, self._workers = None, []
        self._fault = machine.fault()
        try:
            if not self._fault and can_fork():
                self._template = Template()
        except OSError as error:
            self._fault = machine.Fault(f"{error}.", "Set TMPDIR to another folder.")
        if self._fault:
            return
        self._workers = [_Worker(self._slugs, self._template) for _ in range(self._count)]

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all processes."""
        for worker in self._workers:
            worker.stop()
            worker.close()
        if self._template:
            self._template.close()

    def cancel(self) -> None:
        """End the running `grade()`, which raises Cancelled. May be called from any thread."""
        self._cancelled.set()
        for worker in self._workers:
            worker.stop()

    def grade(
        self, jobs: list[Job], seed: int, on_event: Callable[[Event], None] = lambda event: None
    ) -> list[LessonResult]:
        """Grade each job's folder; return the results in the order of the jobs.

        `on_event` is called as things happen, from one thread at a time. Raises Cancelled.
        """
        self._cancelled.clear()
        if self._fault or (self._template and not self._template.lives):
            self.close()
            self._start()
        if self._fault:
            return [self._not_judged(job, self._fault, on_event) for job in jobs]
        todo = deque(enumerate(jobs))
        results: list[LessonResult | None] = [None] * len(jobs)
        errors: list[BaseException] = []

        def work(worker: _Worker) -> None:
            with contextlib.suppress(IndexError):
                while not self._cancelled.is_set() and not errors:
                    index, job = todo.popleft()
                    try:
                        results[index] = self._one(worker, job, seed, on_event)
                        self._tell(on_event, Ended(job, results[index]))
                    except BaseException as error:
                        errors.append(error)

        threads = [threading.Thread(target=work, args=(w,), daemon=True) for w in self._workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]
        if self._cancelled.is_set():
            raise Cancelled
        return [result for result in results if result is not None]

    def _not_judged(self, job: Job, fault: machine.Fault, on_event: Callable) -> LessonResult:
        """Return the report on a lesson that can't be graded on this machine."""
        lesson = self._lessons[job.slug]
        self._tell(on_event, Started(job.slug))
        tasks = [
            TaskResult(task.id, task.title, task.points, "error", not_judged(fault))
            for task in lesson.tasks
            if not job.tasks or task.id in job.tasks
        ]
        for task in tasks:
            self._tell(on_event, Finished(job.slug, task))
        result = LessonResult(job.slug, lesson.title, tasks, 0.0, [str(fault)])
        self._tell(on_event, Ended(job, result))
        return result

    def _tell(self, on_event: Callable, event: Event) -> None:
        with self._telling:
            on_event(event)

    def _one(self, worker: _Worker, job: Job, seed: int, on_event: Callable) -> LessonResult:
        self._tell(on_event, Started(job.slug))
        started, lesson = time.monotonic(), self._lessons[job.slug]
        if why := lesson.fault:
            return LessonResult(job.slug, lesson.title, [], 0.0, [why])
        worker.send(
            slug=job.slug,
            folder=str(job.folder.resolve()),
            seed=seed if job.seed is None else job.seed,
            tasks=job.tasks,
            verbose=job.verbose,
            pictures=job.pictures and str(job.pictures.resolve()),
            to_first_failure=job.to_first_failure,
            lanes=job.lanes,
        )
        found: dict[str, TaskResult] = {}
        odd = notes(job.folder, lesson.solution)
        why = self._listen(worker, job, found, odd, on_event)
        if self._cancelled.is_set():
            raise Cancelled
        tasks = lesson.tasks
        faults = [task for task in found.values() if task.status in ("failed", "error")]
        for task in tasks if not (job.to_first_failure and faults) else ():
            if task.id not in found and (not job.tasks or task.id in job.tasks):
                # Only a report that it passed can pass a task: silence is an error.
                found[task.id] = TaskResult(task.id, task.title, task.points, "error", Card(why))
                self._tell(on_event, Finished(job.slug, found[task.id]))
        order = {task.id: place for place, task in enumerate(tasks)}
        return LessonResult(
            job.slug,
            lesson.title,
            sorted(found.values(), key=lambda task: order[task.id]),
            time.monotonic() - started,
            odd,
        )

    def _listen(self, worker: _Worker, job: Job, found: dict, odd: list, on_event: Callable) -> str:
        """Collect what the worker says of one job. Returns why a task has no report, if one has."""
        known = {task.id: task for task in self._lessons[job.slug].tasks}
        try:
            while True:
                message = worker.next()
                if message is None:
                    why = worker.last_words()
                    worker.renew()
                    return f"{ENDED} {why}".strip()
                match message:
                    case {"event": "broken", "why": str(why)}:
                        worker.renew()  # By then the file may be as it was.
                        return why
                    case {"event": "process", "pid": int(pid)}:
                        worker.pid = pid
                        if self._cancelled.is_set():
                            worker.stop()
                    case {"event": "task", "task": dict(data)} if result := _result(data, known):
                        if result.status == "passed" != found.get(result.id, result).status:
                            return _distrusted(worker, found)
                        found[result.id] = result
                        self._tell(on_event, Finished(job.slug, result))
                    case {"event": "notes", "notes": list(said)}:
                        odd += map(str, said)
                    case {"event": "ready"}:
                        pass
                    case {"event": "done"}:
                        if not can_fork():  # It has done its one job, and ends.
                            worker.renew()
                        return ENDED
                    case _:
                        return _distrusted(worker, found)
        finally:
            worker.pid, worker.busy = 0, False


def _message(line: bytes) -> object:
    """Return what a line of a worker says; None if it isn't JSON."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _result(data: dict, known: dict[str, Task]) -> TaskResult | None:
    """Return a task's verdict, if the data is that of a task which the lesson has."""
    try:
        result = TaskResult.from_dict(data)
        task = known[result.id]
        result.message.encode("utf-8", "surrogatepass")
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    whole = (result.title, result.points) == (task.title, task.points)
    return result if whole and result.status in STATUSES else None


def _distrusted(worker: _Worker, found: dict) -> str:
    """Drop all that was reported, since a line of it can't be the grader's own."""
    found.clear()
    worker.stop()
    worker.renew()
    return GARBLED


def notes(folder: Path, solution: Path) -> list[str]:
    """Return what is odd about the folder as a whole, in sentences."""
    ours = {"course", "pytest", "tests"}
    libraries = {"flask", "flask_sock", "requests", "simple_websocket", "websockets", "werkzeug"}
    found = []
    if not folder.is_dir():
        again = f"`python3 -m course reset {int(solution.name[:2])}`"
        return [f"{folder} is not there. {again} brings the starter back."]
    for path in sorted(folder.iterdir()):
        if (solution / path.name).exists():
            continue
        if path.name in ("conftest.py", "pytest.ini", "sitecustomize.py", "usercustomize.py"):
            found.append(f"{path.name} in your folder is not read: grading has its own set-up.")
        elif path.suffix == ".py" and path.stem in sys.stdlib_module_names | libraries | ours:
            found.append(
                f"{path.name} in your folder has the name of a library: `import {path.stem}` finds "
                f"your file in its place. Give it another name."
            )
    return found
