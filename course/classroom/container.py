"""Grade in containers: one for each lesson of a submission, without a network.

The image has the course and its packages. A container can read the one submission that it grades,
and can write only to memory. It runs `check`, whose report is read from its stdout.
"""

import contextlib
import hashlib
import io
import json
import os
import secrets
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from course.classroom.parts import course_files
from course.grading import bulk
from course.grading.engine import Job
from course.grading.waiting import PATIENCE
from course.learner.refusal import Refusal
from course.lesson.lessons import Lesson, lessons
from course.report import Card, LessonResult, Report, TaskResult

PROGRAMS = ("podman", "docker")
SECONDS = 600 * PATIENCE  # for a lesson, after which its container is ended
LARGEST_REPORT = 16 * 2**20  # bytes
MEMORY = "3g"
DOCKERFILE = Path(__file__).with_name("Dockerfile")
# A container starts as root, and the grader runs learners' code as the user `nobody`. It needs
# these to change its user, to give that user a folder and remove it, and to end its processes.
CAPABILITIES = ("SETUID", "SETGID", "CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL")


def find_container() -> str | None:
    """Return the path of podman or docker if it works on this machine, else None."""
    for name in PROGRAMS:
        path = shutil.which(name)
        if path and _succeeds([path, "info"]):
            return path
    return None


def _succeeds(command: list[str]) -> bool:
    try:
        run = subprocess.run(command, capture_output=True, timeout=30, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return run.returncode == 0


class Container:
    """Grades each job in a container of its own."""

    def __init__(self, program: str, root: Path, jobs: int, out: TextIO) -> None:
        self._program, self._out = program, out
        self._count = jobs or os.cpu_count() or 1
        self._lessons = {lesson.slug: lesson for lesson in lessons(root)}
        self._context = _context(root)
        self.image = f"beyond-rest-grader:{hashlib.sha256(self._context).hexdigest()[:16]}"
        self._running: set[str] = set()

    def grade(self, jobs: list[Job], on_result: Callable[[Job, LessonResult], None]) -> None:
        """Grade each job. Raises Refusal if the image can't be built."""
        self._build()
        bulk.side_by_side(jobs, self._count, self._one, on_result, self._stop)

    def _stop(self) -> None:
        for name in list(self._running):
            self._end(name)

    def _build(self) -> None:
        if _succeeds([self._program, "image", "inspect", self.image]):
            return
        self._out.write(
            "Building the image for the containers. It is done once, and needs a network.\n"
        )
        self._out.flush()
        command = [self._program, "build", "--tag", self.image, "-"]
        run = subprocess.run(command, input=self._context, capture_output=True)
        if run.returncode:
            said = run.stderr.decode("utf-8", "replace").strip().split("\n")[-1]
            raise Refusal(f"The image can't be built: {said}")

    def command(self, job: Job, name: str) -> list[str]:
        """Return the command that grades a job in a container."""
        return [
            *(self._program, "run", "--rm", "--init", "--name", name),
            *("--network", "none"),
            *("--read-only", "--tmpfs", "/tmp:rw,exec,size=1g", "--tmpfs", "/course/.course"),
            *("--memory", MEMORY, "--pids-limit", "1024"),
            *("--cap-drop", "ALL", *(f"--cap-add={name}" for name in CAPABILITIES)),
            *("--security-opt", "no-new-privileges"),
            # With SELinux, a container can't read an unlabelled folder, and relabelling changes it.
            *(("--security-opt", "label=disable") if "podman" in self._program else ()),
            *("--env", f"COURSE_PATIENCE={PATIENCE:g}", "--env", "HOME=/tmp"),
            *("--volume", f"{job.folder.resolve()}:/submission/{job.slug}:ro"),
            self.image,
            *("check", job.slug, "--from", "/submission", "--seed", str(job.seed), "--json", "-"),
        ]

    def _one(self, job: Job) -> LessonResult:
        name = f"beyond-rest-{secrets.token_hex(8)}"
        self._running.add(name)
        process = subprocess.Popen(
            self.command(job, name),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in the terminal is for this process alone.
        )
        timer = threading.Timer(SECONDS, self._end, [name])
        timer.start()
        try:
            said = process.stdout.read(LARGEST_REPORT + 1)
        finally:
            timer.cancel()
            if process.poll() is None and len(said) > LARGEST_REPORT:
                self._end(name)
            process.stdout.close()
            status = process.wait()
            self._running.discard(name)
        return self._read(job, said, status)

    def _end(self, name: str) -> None:
        with contextlib.suppress(OSError):
            subprocess.run([self._program, "kill", name], capture_output=True, check=False)

    def _read(self, job: Job, said: bytes, status: int) -> LessonResult:
        """Return the lesson's result, if the report is one that the lesson can have."""
        lesson = self._lessons[job.slug]
        try:
            (result,) = Report.from_dict(json.loads(said)).lessons
            asked = [(task.id, task.title, task.points) for task in lesson.tasks]
            if [(task.id, task.title, task.points) for task in result.tasks] == asked:
                return result
        except (ValueError, TypeError, RecursionError):
            pass
        return _no_report(lesson, f"The container ended with status {status} and without a report.")


def _no_report(lesson: Lesson, why: str) -> LessonResult:
    tasks = [TaskResult(t.id, t.title, t.points, "error", Card(why)) for t in lesson.tasks]
    return LessonResult(lesson.slug, lesson.title, tasks)


def _context(root: Path) -> bytes:
    """Return what the image is built from: the course and the Dockerfile, as a tar file.

    It has no dates and no owners, so that its hash changes only with the files.
    """
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, path in {"Dockerfile": DOCKERFILE, **course_files(root)}.items():
            content = path.read_bytes()
            info = tarfile.TarInfo(name)
            info.size = len(content)
            info.mode = 0o644
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()
