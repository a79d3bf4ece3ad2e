"""Start the course: ``python3 -m course`` in its folder, ``python3 path/to/course`` from any.

Whatever Python there is reads this file, to say what it lacks. So this keeps to the syntax that
Python 2.7 knows too.
"""

# These rules ask for what an old Python cannot read.
# ruff: noqa: UP031, RUF005

import os
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(HERE)


def main():
    """Make this Python ready, or go on in one that is, and run the command."""
    mend_path()
    from course import MINIMUM

    if sys.version_info < MINIMUM:
        sys.stderr.write(too_old(MINIMUM) + "\n")
        sys.exit(2)
    from course import setup

    setup.ready()
    from course import cli

    sys.exit(cli.main())


def mend_path():
    """Put the course's root first on sys.path, in place of the folder that Python put there.

    That is this folder, whose modules must not be importable by their bare names, or with `-m`
    the current one, where a learner's file may have the name of any module.
    """
    safe = getattr(sys.flags, "safe_path", False)
    if safe and os.path.realpath(sys.path[0]) != HERE:
        sys.path.insert(0, ROOT)
    else:
        sys.path[0] = ROOT


def too_old(minimum):
    """Return the sentence for a Python that is older than `minimum`, with the way out."""
    have = ".".join(str(number) for number in sys.version_info[:3])
    need = ".".join(str(number) for number in minimum)
    problem = "The course needs Python %s or later, and this is Python %s. " % (need, have)
    newer = newer_python(minimum)
    if newer is None:
        return problem + (
            "Install a newer one (https://www.python.org/downloads/ has it) "
            "and run the same command with that."
        )
    course = "-m course" if os.path.realpath(os.getcwd()) == ROOT else '"%s"' % HERE
    return problem + "A newer one is here: run %s %s" % (newer, course)


def newer_python(minimum):
    """Return the name of a Python on PATH that is new enough, or None.

    Each is started, because a name can be there and not work: pyenv's shims, Windows' aliases.
    """
    import subprocess  # It takes longer than all the rest of an ordinary start.

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
