"""Find the course's own files that were edited: an edited grader or answer may mislead."""

import subprocess
from pathlib import Path

OWN = ("course", "tests", "solutions", "pyproject.toml", "requirements.txt")


def edited(root: Path, *paths: str) -> list[str]:
    """Return the changed files, as git reports them, below these paths or in the whole course.

    The list is empty if git can't report them, for example in a copy without its repository.
    """
    command = ["git", "diff", "--name-only", "-z", "HEAD", "--", *(paths or OWN)]
    try:
        run = subprocess.run(command, cwd=root, capture_output=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return []
    return [name for name in run.stdout.decode("utf-8", "replace").split("\0") if name]


def advice(names: list[str]) -> str:
    """Return a sentence on the edited files and how to restore them, or "" if there are none."""
    if not names:
        return ""
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    verb = "differ" if more else "differs"
    return (
        f"{names[0]}{more} {verb} from the course's own version. "
        f"`git checkout HEAD -- {names[0]}` restores it."
    )
