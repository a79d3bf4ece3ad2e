"""One graded submission, which the exporters turn into the format of a platform."""

from dataclasses import dataclass, field

from course.report import Report


@dataclass(frozen=True)
class Graded:
    """A submission's report, and the folder of each lesson in the submission, by its slug."""

    report: Report
    homes: dict[str, str] = field(default_factory=dict)
