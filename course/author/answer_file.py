"""Read the answers that test a lesson's grader: `tests/answers/NN_slug.toml`.

[[wrong]]
belief = "the misconception, in one line"
fails = "create"                  # the task that must fail
[wrong.code]
create = '''…'''                  # replaces a region of the solution
"app.py" = '''…'''                # replaces a whole file

[[right]]
how = "how it differs from the solution"
[right.code]
list = '''…'''
"""

import re
import shutil
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from course.lesson import regions
from course.lesson.lessons import Lesson


class AnswerError(Exception):
    """A file of answers can't be used. The message says where and why."""


@dataclass(frozen=True)
class Answer:
    """One answer to grade. `fails` is empty for a right answer.

    With `passes`, the answer is right for this task only, and isn't graded on the others.
    """

    lesson: Lesson
    name: str
    code: dict[str, str] = field(default_factory=dict)
    fails: str = ""
    passes: str = ""

    def touches(self, task_id: str) -> bool:
        """Return whether the answer changes a region of the task."""
        names = set(self.code)
        for file in self.lesson.solution.rglob("*"):
            if file.name in self.code and file.suffix in regions.COMMENTS:
                text = file.read_text("utf-8")
                names |= {region.name for region in regions.regions(text, file.suffix, file.name)}
        return any(name == task_id or name.startswith(f"{task_id}-") for name in names)


def read(lesson: Lesson, file: Path) -> list[Answer]:
    """Return the answers of a file. Raises AnswerError if it doesn't have the form above."""
    try:
        data = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise AnswerError(f"{file}: {error}") from None
    answers = []
    for kind, named in (("wrong", "belief"), ("right", "how")):
        for number, entry in enumerate(data.get(kind, []), 1):
            answers.append(_answer(lesson, entry, kind, named, f"{file}: [[{kind}]] {number}"))
    if not answers:
        raise AnswerError(f"{file}: it has neither [[wrong]] nor [[right]] answers.")
    return answers


def in_order(lesson: Lesson) -> list[Answer]:
    """Return an answer for each task: the solution up to this task, which must then pass.

    A learner solves the tasks in the page's order, so a task can't depend on the TODO of a later
    one. If its section asks for a first version of a later TODO, the front matter of the page lists
    the task in `looks_ahead`.
    """
    ids = [task.id for task in lesson.tasks]
    excused = re.findall(r"\w+", lesson.read_page().front.get("looks_ahead", ""))
    todos = [
        (region, "..." if file.suffix == ".py" else "")
        for file in sorted(lesson.solution.rglob("*"))
        if file.suffix in regions.COMMENTS
        for region in regions.asked(file)
        if region.task in ids
    ]
    found = []
    for number, task_id in enumerate(ids):
        later = {region.name: blank for region, blank in todos if region.task in ids[number + 1 :]}
        if later and task_id not in excused:
            name = f"only with the TODOs up to those of {task_id}"
            found.append(Answer(lesson, name, later, passes=task_id))
    return found


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
    """Write the solution to a folder, changed by the answer's code.

    Raises AnswerError if the code is for a region that the solution doesn't have.
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
    raise AnswerError(f"{answer.lesson.slug}, {answer.name!r}: no region is called {name}.")


def _check_syntax(answer: Answer, folder: Path) -> None:
    # Any test fails an answer that doesn't compile, so such an answer would prove nothing.
    for file in folder.glob("*.py"):
        try:
            compile(file.read_text("utf-8"), file.name, "exec")
        except SyntaxError as error:
            where = f"{answer.lesson.slug}, {answer.name!r}: {file.name}:{error.lineno}"
            raise AnswerError(f"{where}: {error.msg}.") from None
