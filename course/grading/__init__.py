"""What a lesson's tests are written with."""

from course.grading.expect import equal, expect
from course.grading.http import Answer, Client
from course.grading.stage import Program, Server, Stage
from course.grading.task import task

__all__ = ["Answer", "Client", "Program", "Server", "Stage", "equal", "expect", "task"]
