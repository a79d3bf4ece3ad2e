"""Test the graders with right and wrong answers: the command `dev answers`.

Each lesson must pass five gates: the solution earns every point; the starter starts and earns none;
every right answer passes; every wrong answer fails the task that it names; each task passes without
the code of later tasks. The form of the answers is in answer_file.py.

A wrong answer is graded on the task that it must fail, and on each task which that one needs and
whose regions the answer changes. The other tasks are the solution's, which passes them. Grading
ends at the first failure.
"""

import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import TextIO

from course.author.answer_file import Answer, AnswerError, build, in_order, read
from course.grading import bulk
from course.grading.children import Trouble
from course.grading.engine import Ended, Engine, Job
from course.grading.expect import Unmet
from course.grading.plugin import Starter
from course.grading.stage import Stage
from course.lesson.lessons import ROOT, Lesson, find, lessons
from course.lesson.regions import MarkerError
from course.report import LessonResult, TaskResult

KEPT = ROOT / ".course" / "answers.jsonl"  # the answers judged correctly, for --resume


@dataclass(frozen=True)
class Judged:
    """The grader's verdict on one answer.

    `mistake` says how the grader was wrong, and `skipped` why it couldn't grade; else both are "".
    """

    what: str
    mistake: str = ""
    skipped: str = ""


@dataclass(frozen=True)
class Request:
    """Which answers to grade: those of the lessons named, or of all.

    `file` is another file of answers, for the lesson in its name or in `names`; then the solution
    and the starter aren't graded. With `only`, only that task is graded.
    """

    names: tuple[str, ...] = ()
    file: Path | None = None
    only: str = ""
    jobs: int = 0  # answers to grade at once; 0 chooses by the number of cores
    resume: bool = False


def judge(request: Request, out: TextIO) -> int:
    """Grade the answers, and print each verdict as soon as it is known.

    Returns 0 if every gate passes, 1 if one fails, 2 for wrong usage.
    """
    try:
        chosen, answers = _answers(request)
        with tempfile.TemporaryDirectory(prefix="course-") as scratch:
            return _judge(request, chosen, answers, Path(scratch), out)
    except (AnswerError, LookupError, MarkerError) as error:
        print(error, file=sys.stderr)
        return 2


def _answers(request: Request) -> tuple[list[Lesson], list[Answer]]:
    """Return the lessons and their answers.

    Right answers come first, since they take longest. Those of different lessons alternate, so that
    the tests of one work while those of another wait.
    """
    file = request.file
    chosen = [find(name) for name in request.names] or ([find(file.stem)] if file else lessons())
    if file:
        answers = [answer for lesson in chosen for answer in read(lesson, file)]
    else:
        answers = [
            answer
            for lesson in chosen
            for answer in (
                Answer(lesson, "the solution"),
                *read(lesson, lesson.answers),
                *in_order(lesson),
            )
        ]
    if request.only:
        known = {task.id for lesson in chosen for task in lesson.tasks}
        if request.only not in known:
            names = ", ".join(sorted(known))
            raise AnswerError(f"No task is called {request.only!r}. Name one of {names}.")
        wanted = ("", request.only)
        answers = [one for one in answers if one.fails in wanted and one.passes in wanted]
    return chosen, _spread(answers)


def _spread(answers: list[Answer]) -> list[Answer]:
    """Return the answers, first the right ones, each lesson's at equal distances."""
    kinds = [(answer.lesson.slug, bool(answer.fails)) for answer in answers]
    counts, seen, places = Counter(kinds), Counter(), []
    for kind in kinds:
        places.append((kind[1], (seen[kind] + 0.5) / counts[kind]))
        seen[kind] += 1
    return [answer for _, answer in sorted(zip(places, answers, strict=True), key=itemgetter(0))]


def _judge(
    request: Request, chosen: list[Lesson], answers: list[Answer], scratch: Path, out: TextIO
) -> int:
    known = _kept() if request.resume else set()
    keys = [_key(answer) for answer in answers]
    jobs: dict[Job, tuple[Answer | None, str]] = {}
    for number, (answer, key) in enumerate(zip(answers, keys, strict=True)):
        if key not in known:
            build(answer, scratch / str(number))
            job = Job(
                answer.lesson.slug,
                scratch / str(number),
                _tasks(answer, request.only),
                to_first_failure=bool(answer.fails),
                lanes=1,
            )
            jobs[job] = answer, key
    starters = [] if request.file or request.only else chosen
    jobs |= {Job(x.slug, x.lesson, lanes=1): (None, "") for x in starters}
    telling = Telling(out, len(jobs), len(answers) - len(jobs) + len(starters))
    with Engine([lesson.slug for lesson in chosen], bulk.at_once(request.jobs)) as engine:

        def on_event(event: object) -> None:
            if isinstance(event, Ended):
                answer, key = jobs[event.job]
                judged = _judged(answer, event.result) if answer else _judged_starter(event.result)
                telling.tell(judged)
                if key and not judged.mistake and not judged.skipped:
                    _keep(key)

        if not request.resume:
            KEPT.unlink(missing_ok=True)
        engine.grade(list(jobs), 1, on_event)
    return telling.end()


class Telling:
    """Prints each verdict with the progress, and at the end the mistakes again."""

    def __init__(self, out: TextIO, total: int, before: int) -> None:
        self._out, self._before = out, before
        self._judged: list[Judged] = []
        self._countdown = bulk.Countdown(total)

    def tell(self, judged: Judged) -> None:
        """Print one verdict."""
        self._judged.append(judged)
        self._out.write(f"{self._countdown.next()}  " + "\n".join(_lines(judged)) + "\n")
        self._out.flush()

    def end(self) -> int:
        """Print the mistakes once more, and the count. Returns 1 if there are mistakes, else 0."""
        mistakes = [judged for judged in self._judged if judged.mistake]
        skipped = sum(bool(one.skipped and not one.mistake) for one in self._judged)
        if mistakes and len(self._judged) > 1:
            self._out.write("\nJudged wrongly:\n")
            for judged in mistakes:
                self._out.write("\n".join(_lines(judged)) + "\n")
        rightly = len(self._judged) - len(mistakes) - skipped + self._before
        unsaid = f"; {skipped} can't be judged on this machine" if skipped else ""
        self._out.write(f"{rightly} judged correctly, {len(mistakes)} wrongly{unsaid}\n")
        return 1 if mistakes else 0


def _lines(judged: Judged) -> Iterable[str]:
    yield f"{'✗' if judged.mistake else '-' if judged.skipped else '✓'} {judged.what}"
    said = judged.mistake or judged.skipped
    yield from ("    " + line for line in said.split("\n") if said)


# Answers judged by an earlier run


def _key(answer: Answer) -> str:
    """Return a hash of all that a verdict depends on: the answer, the solution and the grader."""
    return bulk.digest(answer.lesson, answer.name, answer.fails, answer.code).hexdigest()


def _kept() -> set[str]:
    return {key for key in bulk.kept(KEPT) if isinstance(key, str)}


def _keep(key: str) -> None:
    bulk.keep(KEPT, key)


# From a grader's results to a verdict on the grader


def _tasks(answer: Answer, only: str) -> tuple[str, ...]:
    """Return the tasks to grade; an empty tuple means all.

    An answer that only has to pass one task is graded on this task.

    For a wrong answer, these are the task that it must fail, and each task which that one needs
    and whose regions the answer changes.
    """
    wanted = answer.fails or answer.passes or only
    if not wanted:
        return ()
    if answer.passes:
        return (wanted,)
    needs = _needs(answer.lesson, wanted)
    return tuple(sorted({wanted, *(need for need in needs if answer.touches(need))}))


def _needs(lesson: Lesson, task_id: str) -> set[str]:
    """Return the tasks that a task needs, directly or through others."""
    needs = {task.id: task.needs for task in lesson.tasks}
    found, todo = set(), [*needs[task_id]] if task_id in needs else []
    while todo:
        need = todo.pop()
        found.add(need)
        todo += needs.get(need, ())
    return found


def _judged(answer: Answer, result: LessonResult) -> Judged:
    what = f"{answer.lesson.slug} {f'wrong ({answer.fails})' if answer.fails else 'right'}: "
    faults = [task for task in result.tasks if task.status in ("failed", "error")]
    skipped = [task for task in result.tasks if task.status == "skipped"]
    mistakes, unsaid = faults, skipped
    if answer.fails:
        # It is None if a task that it needs failed, which ended the grading.
        task = next((task for task in result.tasks if task.id == answer.fails), None)
        status = task.status if task else "blocked"
        # A task that needs a skipped one is blocked, so it can't be judged either.
        if status == "skipped" or (status == "blocked" and skipped and not faults):
            mistakes = []
        else:
            others = [fault for fault in faults if fault is not task]
            mistakes = [] if status == "failed" else [task, *others] if task else others
            unsaid = []
    mistake, why = ("\n".join(map(_said, tasks)).strip() for tasks in (mistakes, unsaid))
    return Judged(what + answer.name, mistake, why)


def _said(task: TaskResult) -> str:
    return f"{task.id}: {task.status}\n{task.message}"


def _judged_starter(result: LessonResult) -> Judged:
    lesson = find(result.slug)
    mistakes = [f"{task.id} passed." for task in result.tasks if task.earned]
    mistakes += [_said(task) for task in result.tasks if task.status == "error"]
    if (lesson.lesson / "app.py").is_file():
        mistakes += _start(lesson)
    return Judged(f"{lesson.slug} starter: starts, and earns nothing", "\n".join(mistakes))


def _start(lesson: Lesson) -> list[str]:
    starter = Starter()
    stage = Stage(starter.start, lesson.lesson, "starter")
    try:
        stage.serve()
        return []
    except (Trouble, Unmet) as error:
        return [str(error)]
    finally:
        stage.close()
        starter.close()
