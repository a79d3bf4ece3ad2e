"""Tell which task a learner is working on, by the region that a save has changed."""

from course.learner.saves import fingerprint
from course.lesson.lessons import Lesson
from course.lesson.regions import COMMENTS, asked


class Edits:
    """Compares the regions of a lesson's files with those at the last look."""

    def __init__(self, lesson: Lesson) -> None:
        self._lesson = lesson
        self._files: frozenset = frozenset()
        self._bodies: dict[str, str] = {}
        self.task()

    def task(self) -> str:
        """Return the id of the first task of which a region has changed since the last look.

        It is "" if none has.
        """
        now = fingerprint(self._lesson.lesson) or frozenset()
        paths = [self._lesson.lesson / name for name, *_ in now - self._files]
        self._files = now
        read = [region for path in paths if path.suffix in COMMENTS for region in asked(path)]
        changed = {region.task for region in read if self._bodies.get(region.name) != region.body}
        self._bodies |= {region.name: region.body for region in read}
        return next((task.id for task in self._lesson.tasks if task.id in changed), "")
