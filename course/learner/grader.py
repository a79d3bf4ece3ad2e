"""The thread that grades for the watch screen: a new request cancels the running one."""

import contextlib
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from course.lesson.lessons import Lesson, pictures
from course.report import LessonResult, TaskResult


@dataclass(frozen=True)
class Judged:
    """The check with this number has graded a task."""

    run: int
    result: TaskResult


@dataclass(frozen=True)
class Checked:
    """The check with this number has ended."""

    run: int
    result: LessonResult


@dataclass(frozen=True)
class Broken:
    """The runner itself failed, in another thread."""

    error: BaseException


Put = Callable[[object], None]


class Grader:
    """Grades in its own thread. A new request cancels the running one."""

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
        """Grade the lesson; its events carry the number `run`, which increases with each request.

        The task `first`, if any, is graded first, since the learner is working on it.
        """
        with self._news:
            self._wanted, self._latest = (lesson, first, run), run
            self._news.notify()
        self._cancel()

    def close(self) -> None:
        """Cancel the running check, and end the graders and the thread."""
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
                # The next request arrived before this check could be cancelled.
                engine.cancel()
            elif isinstance(event, Finished):
                self._put(Judged(run, event.result))

        seed = random.randrange(10**6)
        job = Job(lesson.slug, lesson.lesson, pictures=pictures(lesson.root))

        def grade(tasks: tuple[str, ...], to_first_failure: bool = False) -> LessonResult:
            part = replace(job, tasks=tasks, to_first_failure=to_first_failure)
            return engine.grade([part], seed, on_event)[0]

        with contextlib.suppress(Cancelled):
            at = grade((first,), to_first_failure=True) if first else None
            others = tuple(task.id for task in lesson.tasks if task.id != first)
            if at and at.passed:
                result = _joined(at, grade(others), lesson) if others else at
            else:
                result = grade(())  # The task may block others.
            self._put(Checked(run, result))

    def _engine_for(self, lesson: Lesson):
        """Return graders for this lesson. Those for another lesson are closed, to free memory."""
        if self._slug != lesson.slug:
            if self._engine:
                self._engine.close()
            self._engine, self._slug = self._make([lesson.slug]), lesson.slug
        return self._engine


def _joined(one: LessonResult, others: LessonResult, lesson: Lesson) -> LessonResult:
    """Return the results of two parts of a lesson as one."""
    order = [task.id for task in lesson.tasks]
    tasks = sorted([*one.tasks, *others.tasks], key=lambda task: order.index(task.id))
    notes = list(dict.fromkeys([*one.notes, *others.notes]))
    return replace(others, tasks=tasks, notes=notes, seconds=one.seconds + others.seconds)
