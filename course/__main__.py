"""Start the course: ``python3 -m course`` in its folder, ``python3 path/to/course`` elsewhere.

A Python that is too old runs this file too, to report its version. So this file uses only syntax
that Python 2.7 accepts.
"""

# These rules ask for syntax that an old Python can't parse.
# ruff: noqa: UP031, RUF005

import os
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(HERE)


def main():
    """Prepare the environment, restart in its Python if needed, and run the command."""
    fix_path()
    from course import MINIMUM

    if sys.version_info < MINIMUM:
        sys.stderr.write(too_old(MINIMUM) + "\n")
        sys.exit(2)
    from course import setup

    setup.ready()
    from course import cli

    sys.exit(cli.main())


def fix_path():
    """Put the course's root first on sys.path, instead of the folder that Python put there.

    Python puts this folder there, whose modules must not be importable by their bare names. With
    `-m` it puts the current folder there, where a learner's file may have any module's name.
    """
    safe = getattr(sys.flags, "safe_path", False)
    if safe and os.path.realpath(sys.path[0]) != HERE:
        sys.path.insert(0, ROOT)
    else:
        sys.path[0] = ROOT


def too_old(minimum):
    """Return the message for a Python older than `minimum`, with what to do about it."""
    have = ".".join(str(number) for number in sys.version_info[:3])
    need = ".".join(str(number) for number in minimum)
    problem = "The course needs Python %s or later; this is Python %s. " % (need, have)
    newer = newer_python(minimum)
    if newer is None:
        return problem + (
            "Install a newer one (https://www.python.org/downloads/) "
            "and run the same command with it."
        )
    course = "-m course" if os.path.realpath(os.getcwd()) == ROOT else '"%s"' % HERE
    return problem + "This machine has a newer one. Run: %s %s" % (newer, course)


def newer_python(minimum):
    """Return the name of a Python on PATH that is new enough, or None.

    It runs each one, because a command on PATH may not work: pyenv's shims, Windows' aliases.
    """
    import subprocess  # Importing it takes longer than the rest of a normal start.

    major, minor = minimum
    names = ["python%d.%d" % (major, later) for later in range(minor + 9, minor - 1, -1)]
    check = "import sys; sys.exit(sys.version_info < %r)" % (minimum,)
    with open(os.devnull, "r+") as nothing:
        for name in names + ["python3", "python", "py"]:
            try:
                command = [name, "-c", check]
                if subprocess.call(command, stdin=nothing, stdout=nothing, stderr=nothing) == 0:
                    return name
            except OSError:
                continue
    return None


if __name__ == "__main__":
    main()
