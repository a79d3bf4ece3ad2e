"""Read what a learner handed in: a folder, a zip file or a git bundle.

Each is a list of files with a way to read each one. Nothing is unpacked here, no link is followed,
and no code that a learner wrote runs: git reads a bundle into a new repository, so no hook and no
setting of the learner's applies.
"""

import contextlib
import itertools
import mmap
import os
import re
import stat
import subprocess
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from course.lesson.starter import ignored

LARGEST_ARCHIVE = 100 * 2**20  # bytes of a zip file or a bundle
MOST_FILES = 50_000  # in a folder, a zip file or a bundle; a clone of the course has 500
GIT_SECONDS = 60.0
_BUNDLE = (b"# v2 git bundle", b"# v3 git bundle")


class BadSubmission(Exception):
    """A submission can't be graded. The message says why, in a sentence."""


@dataclass(frozen=True)
class Entry:
    """A file of a submission. `name` is its path in the submission, with `/` on every system.

    `read` returns its content, but no more than the given number of bytes.
    """

    name: str
    read: Callable[[int], bytes]
    is_file: bool = True  # False for a link, a device or a submodule
    changed: float = 0.0  # seconds since 1970, by the file's own date


@contextlib.contextmanager
def opened(path: Path, deadline: datetime | None = None) -> Iterator[list[Entry]]:
    """Yield the files of a submission. Raises BadSubmission.

    Of a bundle they are those of the last commit before the deadline, if there is one.
    """
    try:
        with _opened(path, deadline) as entries:
            found = list(itertools.islice(entries, MOST_FILES + 1))
            if len(found) > MOST_FILES:
                raise BadSubmission(f"It has more than {MOST_FILES:,} files.")
            yield found
    except zipfile.BadZipFile as error:
        raise BadSubmission(f"The zip file is damaged: {error}.") from None
    except (zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise BadSubmission(f"The zip file can't be read: {error}.") from None
    except (OSError, ValueError) as error:
        raise BadSubmission(f"It can't be read: {error}.") from None


@contextlib.contextmanager
def _opened(path: Path, deadline: datetime | None) -> Iterator[Iterator[Entry]]:
    if path.is_symlink():
        raise BadSubmission("It is a link.")
    if path.is_dir():
        inner = _only_archive(path)
        if inner is None:
            yield _in_folder(path)
            return
        path = inner
    if not stat.S_ISREG(path.lstat().st_mode):
        raise BadSubmission("It isn't a folder, a zip file or a git bundle.")
    if path.stat().st_size > LARGEST_ARCHIVE:
        limit = f"{LARGEST_ARCHIVE // 2**20} MiB"
        raise BadSubmission(f"{path.name} is larger than {limit}, the limit for an archive.")
    if _is_bundle(path):
        with _in_bundle(path, deadline) as entries:
            yield entries
    elif zipfile.is_zipfile(path):
        _require_few_records(path)
        with zipfile.ZipFile(path) as archive:
            yield _in_zip(archive)
    elif path.suffix.lower() == ".zip":
        raise BadSubmission(f"{path.name} isn't a zip file.")
    else:
        raise BadSubmission("It isn't a folder, a zip file or a git bundle.")


# A folder


def _only_archive(folder: Path) -> Path | None:
    """Return the archive that a folder contains and nothing else, as Moodle stores uploads."""
    files = [path for path in folder.iterdir() if not ignored(path.name)]
    if len(files) != 1 or files[0].is_symlink() or not files[0].is_file():
        return None
    return files[0] if zipfile.is_zipfile(files[0]) or _is_bundle(files[0]) else None


def _in_folder(folder: Path) -> Iterator[Entry]:
    for parent, folders, files in os.walk(folder, followlinks=False):
        here = Path(parent)
        for name in sorted(folders):
            if not ignored(name) and _is_link(here / name):
                yield Entry((here / name).relative_to(folder).as_posix(), _unread, False)
        folders[:] = [n for n in sorted(folders) if not ignored(n) and not _is_link(here / n)]
        for name in sorted(files):
            path = here / name
            status = path.lstat()
            inside = path.relative_to(folder).as_posix()
            is_file = stat.S_ISREG(status.st_mode)
            yield Entry(inside, _reader(path), is_file, status.st_mtime)


def _is_link(path: Path) -> bool:
    # Windows has junctions too, which Python recognises from 3.12 on.
    return path.is_symlink() or getattr(os.path, "isjunction", lambda _: False)(path)


def _reader(path: Path) -> Callable[[int], bytes]:
    def read(most: int) -> bytes:
        # The file may have been replaced by a link since it was listed.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        with open(os.open(path, flags), "rb") as file:
            return file.read(most)

    return read


def _unread(most: int) -> bytes:
    return b""


# A zip file


def _require_few_records(path: Path) -> None:
    """Raise BadSubmission if the zip file lists too many files to be read into memory."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        records = itertools.islice(re.finditer(b"PK\x01\x02", data), MOST_FILES + 1)
        if sum(1 for _ in records) > MOST_FILES:
            raise BadSubmission(f"It has more than {MOST_FILES:,} files.")


def _in_zip(archive: zipfile.ZipFile) -> Iterator[Entry]:
    for info in archive.infolist():
        name = safe(info.filename.replace("\\", "/"))
        if name.endswith("/"):
            continue
        if info.flag_bits & 1:
            raise BadSubmission("The zip file is encrypted.")
        kind = stat.S_IFMT(info.external_attr >> 16)
        is_file = kind in (0, stat.S_IFREG)
        yield Entry(name, _zip_reader(archive, info), is_file, _changed(info))


def _changed(info: zipfile.ZipInfo) -> float:
    try:
        return time.mktime((*info.date_time, 0, 0, -1))
    except (ValueError, OverflowError):  # Some programs write no date.
        return 0.0


def _zip_reader(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[int], bytes]:
    def read(most: int) -> bytes:
        with archive.open(info) as file:
            return file.read(most)

    return read


def safe(name: str) -> str:
    """Return a name from an archive. Raises BadSubmission if it could leave the folder."""
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        raise BadSubmission(f"A file has an absolute path: {name!r}.")
    if ".." in name.split("/"):
        raise BadSubmission(f"The path of a file leaves the folder: {name!r}.")
    return re.sub(r"(^|/)(\./|/)+", r"\1", name)


# A git bundle


def _is_bundle(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_BUNDLE[0])) in _BUNDLE


@contextlib.contextmanager
def _in_bundle(bundle: Path, deadline: datetime | None) -> Iterator[Iterator[Entry]]:
    with tempfile.TemporaryDirectory(prefix="course-") as folder:
        git = _Git(Path(folder))
        git("init", "--quiet", "--bare")
        branch = _branch(git("bundle", "list-heads", str(bundle.resolve())))
        git("fetch", "--quiet", "--no-tags", str(bundle.resolve()), branch)
        commit = "FETCH_HEAD"
        if deadline:
            before = f"--before={deadline.astimezone().isoformat()}"
            commit = git("rev-list", "--max-count=1", before, "FETCH_HEAD").strip()
            if not commit:
                raise BadSubmission("The bundle has no commit before the deadline.")
        changed = float(git("show", "--no-patch", "--format=%ct", commit).strip())
        yield _in_tree(git, git("ls-tree", "-r", "-z", "--full-tree", commit), changed)


class _Git:
    """Runs git in a new repository, without the settings of the user and the system."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        kept = ("PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR")
        self._env = {name: os.environ[name] for name in kept if name in os.environ}
        self._env |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        self._env |= {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
        # A pack stays a pack, and large files are read in parts: an archive bomb doesn't unfold.
        self._settings = ["-c", "fetch.unpackLimit=1", "-c", "core.bigFileThreshold=4m"]

    def __call__(self, *arguments: str) -> str:
        """Return what a command prints. Raises BadSubmission if it fails."""
        run = self.start(*arguments)
        try:
            out, errors = run.communicate(timeout=GIT_SECONDS)
        except subprocess.TimeoutExpired:
            run.kill()
            run.communicate()
            raise BadSubmission("git took too long to read the bundle.") from None
        if run.returncode:
            lines = errors.decode("utf-8", "replace").strip().split("\n")
            raise BadSubmission(f"git can't read the bundle: {lines[-1]}")
        return out.decode("utf-8", "surrogateescape")

    def start(self, *arguments: str) -> subprocess.Popen:
        """Start a command."""
        try:
            return subprocess.Popen(
                ["git", *self._settings, *arguments],
                cwd=self._folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except FileNotFoundError:
            raise BadSubmission("Reading a git bundle needs git, which isn't installed.") from None


def _branch(heads: str) -> str:
    """Return the branch to grade: HEAD, main, master, or the only one."""
    names = [line.split(" ", 1)[1] for line in heads.splitlines() if " " in line]
    for name in ("HEAD", "refs/heads/main", "refs/heads/master"):
        if name in names:
            return name
    if len(names) != 1:
        raise BadSubmission("The bundle has neither HEAD nor main, and not exactly one branch.")
    return names[0]


def _in_tree(git: _Git, listing: str, changed: float) -> Iterator[Entry]:
    for line in listing.split("\0"):
        if line:
            about, _, name = line.partition("\t")
            mode, _, thing = about.split(" ")
            is_file = mode in ("100644", "100755")
            yield Entry(safe(name), _blob_reader(git, thing), is_file, changed)


def _blob_reader(git: _Git, blob: str) -> Callable[[int], bytes]:
    def read(most: int) -> bytes:
        run = git.start("cat-file", "blob", blob)
        try:
            data = run.stdout.read(most)
        finally:
            run.kill()
            run.communicate()
        return data

    return read
