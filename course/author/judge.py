"""The graders' own test: what a lesson's tests say of right and of wrong answers.

Four gates hold for every lesson: the solution earns every point; the starter starts, and earns
none; every right answer passes; every wrong one fails the task that it names. The answers stand in
`tests/answers/NN_slug.toml`:

    [[wrong]]
    belief = "the misconception, in one line"
    fails = "create"                  # the task that must fail
    [wrong.code]
    create = '''…'''                  # a region of the solution by its name, or
    "app.py" = '''…'''                # a whole file by its own

    [[right]]
    how = "in which way it is written differently"
    [right.code]
    list = '''…'''
"""

import os
import shutil
import sys
import tempfile
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from course.grading.children import Trouble
from course.grading.engine import Engine, Job
from course.grading.expect import Unmet
from course.grading.plugin import Starter
from course.grading.stage import Stage
from course.lesson import regions
from course.lesson.lessons import Lesson, find, lessons
from course.report import LessonResult, TaskResult


class AnswerError(Exception):
    """A file of answers cannot be used. As text it says where and why."""


@dataclass(frozen=True)
class Answer:
    """One answer to judge. `fails` is empty for a right one."""

    lesson: Lesson
    name: str
    code: dict[str, str] = field(default_factory=dict)
    fails: str = ""


@dataclass(frozen=True)
class Judged:
    """What the tests said of one answer.

    `mistake` is how they were mistaken, or empty; `skipped` is why they could not say, or empty.
    """

    what: str
    mistake: str = ""
    skipped: str = ""


def read(lesson: Lesson, file: Path) -> list[Answer]:
    """Return the answers of a file. Raises AnswerError where it is not in the form above."""
    try:
        data = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise AnswerError(f"{file}: {error}") from None
    answers = []
    for kind, named in (("wrong", "belief"), ("right", "how")):
        for number, entry in enumerate(data.get(kind, []), 1):
            answers.append(_answer(lesson, entry, kind, named, f"{file}: [[{kind}]] {number}"))
    if not answers:
        raise AnswerError(f"{file}: there is no [[wrong]] and no [[right]] in it.")
    return answers


def _answer(lesson: Lesson, entry: dict, kind: str, named: str, place: str) -> Answer:
    name, code, fails = entry.get(named), entry.get("code"), entry.get("fails", "")
    if not isinstance(name, str) or not name.strip():
        raise AnswerError(f'{place}: give it a line `{named} = "…"`.')
    if not isinstance(code, dict) or not all(isinstance(text, str) for text in code.values()):
        raise AnswerError(f"{place}: give it a table [{kind}.code] of regions or files.")
    ids = [task.id for task in lesson.tasks]
    if kind == "wrong" and fails not in ids:
        raise AnswerError(f"{place}: `fails` must name a task: {', '.join(ids)}.")
    return Answer(lesson, name, code, fails if kind == "wrong" else "")


def build(answer: Answer, folder: Path) -> None:
    """Write the solution with the answer's code in its place.

    Raises AnswerError where the code is for a region that the solution does not have.
    """
    solution = answer.lesson.solution
    shutil.copytree(solution, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name, code in answer.code.items():
        if Path(name).suffix:
            file = next(folder.rglob(Path(name).name), folder / Path(name).name)
            file.write_text(code, "utf-8")
        else:
            _replace(folder, name, code, answer)
    _check_syntax(answer, folder)


def _replace(folder: Path, name: str, code: str, answer: Answer) -> None:
    for file in sorted(folder.rglob("*")):
        if file.suffix not in regions.COMMENTS:
            continue
        text = file.read_text("utf-8")
        if any(region.name == name for region in regions.regions(text, file.suffix, file.name)):
            file.write_text(regions.replace(text, file.suffix, name, code, file.name), "utf-8")
            return
    raise AnswerError(f"{answer.lesson.slug}, {answer.name!r}: there is no region {name}.")


def _check_syntax(answer: Answer, folder: Path) -> None:
    # An answer that does not compile is caught by any test, and so shows nothing.
    for file in folder.glob("*.py"):
        try:
            compile(file.read_text("utf-8"), file.name, "exec")
        except SyntaxError as error:
            where = f"{answer.lesson.slug}, {answer.name!r}: {file.name}:{error.lineno}"
            raise AnswerError(f"{where}: {error.msg}.") from None


def judge(names: list[str], file: Path | None = None) -> int:
    """Judge the tests of the lessons named, or of all; print what they mistook.

    `file` is another file of answers, for the lesson that its name or `names` says; then the
    solution and the starter are left out. Returns 0, 1 where a gate does not hold, 2 for wrong use.
    """
    try:
        chosen = [find(name) for name in names] or ([] if file else lessons())
        if file:
            chosen = chosen or [find(file.stem)]
            answers = [answer for lesson in chosen for answer in read(lesson, file)]
        else:
            answers = [answer for lesson in chosen for answer in _all_of(lesson)]
        with tempfile.TemporaryDirectory(prefix="course-") as scratch:
            judged = _judge_all(chosen, answers, Path(scratch), with_starter=not file)
    except (AnswerError, LookupError, regions.MarkerError) as error:
        print(error, file=sys.stderr)
        return 2
    return _say(judged)


def _all_of(lesson: Lesson) -> list[Answer]:
    return [Answer(lesson, "the solution"), *read(lesson, lesson.answers)]


def _say(judged: list[Judged]) -> int:
    for one in judged:
        print(f"{'✗' if one.mistake else '-' if one.skipped else '✓'} {one.what}")
        if said := one.mistake or one.skipped:
            print("\n".join("    " + line for line in said.split("\n")))
    mistakes = sum(bool(one.mistake) for one in judged)
    skipped = sum(bool(one.skipped and not one.mistake) for one in judged)
    rightly = len(judged) - mistakes - skipped
    unsaid = f"; {skipped} could not be judged here" if skipped else ""
    print(f"{rightly} judged rightly, {mistakes} not{unsaid}")
    return 1 if mistakes else 0


def _judge_all(
    chosen: list[Lesson], answers: list[Answer], scratch: Path, with_starter: bool
) -> list[Judged]:
    jobs = []
    for number, answer in enumerate(answers):
        folder = scratch / str(number)
        build(answer, folder)
        jobs.append(Job(answer.lesson.slug, folder, _tasks(answer)))
    if with_starter:
        jobs += [Job(lesson.slug, lesson.lesson) for lesson in chosen]
    with Engine([lesson.slug for lesson in chosen], workers=os.cpu_count() or 1) as engine:
        results = engine.grade(jobs, seed=1)
    judged = [_judged(a, r) for a, r in zip(answers, results, strict=False)]
    if with_starter:
        judged += [
            _judged_starter(lesson, result)
            for lesson, result in zip(chosen, results[len(answers) :], strict=True)
        ]
    return judged


def _tasks(answer: Answer) -> tuple[str, ...]:
    """Return the tasks to grade: all, or for a wrong answer what it must fail and its needs."""
    if not answer.fails:
        return ()
    needs = {task.id: task.needs for task in answer.lesson.tasks}
    wanted, todo = set(), [answer.fails]
    while todo:
        task_id = todo.pop()
        wanted.add(task_id)
        todo += needs.get(task_id, ())
    return tuple(sorted(wanted))


def _judged(answer: Answer, result: LessonResult) -> Judged:
    what = f"{answer.lesson.slug} {f'wrong ({answer.fails})' if answer.fails else 'right'}: "
    faults = [task for task in result.tasks if task.status in ("failed", "error")]
    skipped = [task for task in result.tasks if task.status == "skipped"]
    mistakes, unsaid = faults, skipped
    if answer.fails:
        task = next(task for task in result.tasks if task.id == answer.fails)
        # What needs a skipped task is blocked, and says no more than that one does.
        if task.status == "skipped" or (task.status == "blocked" and skipped and not faults):
            mistakes = []
        else:
            others = [fault for fault in faults if fault is not task]
            mistakes, unsaid = ([] if task.status == "failed" else [task, *others]), []
    mistake, why = ("\n".join(map(_said, tasks)).strip() for tasks in (mistakes, unsaid))
    return Judged(what + answer.name, mistake, why)


def _said(task: TaskResult) -> str:
    return f"{task.id}: {task.status}\n{task.message}"


def _judged_starter(lesson: Lesson, result: LessonResult) -> Judged:
    what = f"{lesson.slug} starter: starts, and earns nothing"
    mistakes = [f"{task.id} is passed by it." for task in result.tasks if task.earned]
    mistakes += [_said(task) for task in result.tasks if task.status == "error"]
    if (lesson.lesson / "app.py").is_file():
        mistakes += _start(lesson)
    return Judged(what, "\n".join(mistakes))


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
