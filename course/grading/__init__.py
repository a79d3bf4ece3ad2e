"""What a lesson's tests are written with."""

from course.grading.expect import equal, expect
from course.grading.stage import Answer, Client, Program, Server, Stage
from course.grading.task import task

__all__ = ["Answer", "Client", "Program", "Server", "Stage", "equal", "expect", "task"]
