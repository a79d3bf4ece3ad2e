"""The task that a learner is at, and the hint that comes next."""

import difflib
from dataclasses import dataclass

from course.learner.progress import Progress
from course.learner.refusal import Refusal
from course.lesson.lessons import Lesson, Task


@dataclass(frozen=True)
class Hint:
    """A hint as it is shown: the third of three, say."""

    task: Task
    number: int
    total: int
    text: str  # Markdown


def find_task(lesson: Lesson, name: str) -> Task:
    """Return the lesson's task. Raises Refusal, which names the nearest one."""
    tasks = {task.id: task for task in lesson.tasks}
    wanted = name.lower().replace("-", "_")
    if wanted in tasks:
        return tasks[wanted]
    near = difflib.get_close_matches(wanted, tasks, n=1, cutoff=0)
    advice = (
        f"Did you mean {near[0]}? Its tasks are {', '.join(tasks)}." if near else "It has none."
    )
    raise Refusal(f"Lesson {lesson.slug} has no task {name!r}. {advice}")


def open_task(lesson: Lesson, progress: Progress) -> Task | None:
    """Return the first task that has not passed yet."""
    passed = progress.passed(lesson.slug)
    return next((task for task in lesson.tasks if task.id not in passed), None)


def next_hint(lesson: Lesson, task: Task, progress: Progress) -> Hint:
    """Return the hint after those that were shown, and count it. The last one is shown again.

    Raises Refusal where the page has none for the task.
    """
    hints = lesson.hints(task.id)
    if not hints:
        page = lesson.page.relative_to(lesson.root).as_posix()
        raise Refusal(f"The page {page} has no hints for {task.id}.")
    number = min(progress.hints(lesson.slug, task.id) + 1, len(hints))
    progress.show_hint(lesson.slug, task.id, number)
    return Hint(task, number, len(hints), hints[number - 1])
