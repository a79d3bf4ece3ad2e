"""Find the task that a learner is working on, and its next hint."""

import difflib
from dataclasses import dataclass

from course.learner.progress import Progress
from course.learner.refusal import Refusal
from course.lesson.lessons import Lesson, Task


@dataclass(frozen=True)
class Hint:
    """A hint with its number: the third of three, for example."""

    task: Task
    number: int
    total: int
    text: str  # Markdown


def find_task(lesson: Lesson, name: str) -> Task:
    """Return the lesson's task. For an unknown name, raises Refusal with the nearest one."""
    tasks = {task.id: task for task in lesson.tasks}
    wanted = name.lower().replace("-", "_")
    if wanted in tasks:
        return tasks[wanted]
    near = difflib.get_close_matches(wanted, tasks, n=1, cutoff=0)
    advice = (
        f"Did you mean {near[0]}? Its tasks are {', '.join(tasks)}."
        if near
        else "It has no tasks yet."
    )
    raise Refusal(f"Lesson {lesson.slug} has no task {name!r}. {advice}")


def open_task(lesson: Lesson, progress: Progress) -> Task | None:
    """Return the first task that hasn't passed yet, or None if all have."""
    passed = progress.passed(lesson.slug)
    return next((task for task in lesson.tasks if task.id not in passed), None)


def next_hint(lesson: Lesson, task: Task, progress: Progress) -> Hint:
    """Return the hint after the last one shown, and record it. After the last, it repeats that.

    Raises Refusal if the page has no hints for the task.
    """
    hints = lesson.hints(task.id)
    if not hints:
        page = lesson.page.relative_to(lesson.root).as_posix()
        raise Refusal(f"The page {page} has no hints for {task.id}.")
    number = min(progress.hints(lesson.slug, task.id) + 1, len(hints))
    progress.show_hint(lesson.slug, task.id, number)
    return Hint(task, number, len(hints), hints[number - 1])
