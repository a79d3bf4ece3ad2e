"""Find a Python that can run the course: this one, or that of the `.venv` that is made here.

Four rules, and each looks at what is there, so that a broken or interrupted try is taken up again:

0. If a variable has changed this Python, it starts again without it: see environment.py.
1. A Python that has every pinned package runs the course, whichever Python it is.
2. The Python of `.venv` installs what it lacks.
3. Any other makes `.venv`, unless the one that is there starts, and goes on inside it.

install.py makes `.venv` and installs the packages; most starts don't import it.
"""

import os
import sys


class SetupError(Exception):
    """Why the course cannot be set up here and the way out, in a sentence or two."""


def ready() -> None:
    """Return in a Python that has every pinned package, or go on in one and do not return.

    Exits with 2 and a sentence on stderr where there is no way, and with 130 after Ctrl-C.
    """
    from course.setup import environment, packages, venv

    try:
        if any(map(environment.changes_python, os.environ)):
            venv.go_on(sys.executable)  # Python has read them at its start.
        if packages.missing():
            if not venv.inside():
                if not venv.starts():
                    _install().make()
                venv.go_on()
            _install().install()
        elif os.path.exists(venv.SCRATCH) and venv.inside():
            _install().finish()
    except SetupError as problem:
        _stop(2, str(problem))
    except OSError as error:
        _stop(2, _install().meaning(str(error)))
    except KeyboardInterrupt:
        _stop(130, "Stopped. The same command goes on from here.")


def _install():
    """Return the module of what is done once: few starts have a use for all that it imports."""
    from course.setup import install

    return install


def _stop(status: int, sentence: str) -> None:
    """End the process with a sentence and an exit status."""
    sys.stderr.write(sentence + "\n")
    sys.exit(status)
