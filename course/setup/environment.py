"""Which environment variables pass, and to which process.

A variable can change what code does, so only those named here pass. `PYTHONPATH` may contain
another project's packages, `PYTHONWARNINGS` may turn a warning into an error, and `HTTP_PROXY`
may send a request for this machine to a proxy.

| process | what passes |
|---|---|
| a command of the course | everything but Python's own variables; of those, `SHOWN` and `KEPT` |
| pip and uv, at the set-up | `SYSTEM`, `NETWORK`, and the settings that pip.py reads |
| a grader, and a program of the course's own | `SYSTEM`, `KEPT`, `OURS` |
| a process of a learner's code | the same |

Every command passes through here, so only os is imported.
"""

import os
from collections.abc import Mapping


def names(text: str) -> frozenset[str]:
    """Return the names in a text."""
    return frozenset(text.split())


# What a program needs to start, and to find its home, its language and a folder for its files.
SYSTEM = names(
    """
    PATH HOME USER LOGNAME SHELL TMPDIR LANG LANGUAGE LC_ALL LC_COLLATE LC_CTYPE LC_MESSAGES
    LC_MONETARY LC_NUMERIC LC_TIME LD_LIBRARY_PATH DYLD_LIBRARY_PATH DYLD_FALLBACK_LIBRARY_PATH
    NIX_LD NIX_LD_LIBRARY_PATH FONTCONFIG_FILE FONTCONFIG_PATH XDG_CACHE_HOME XDG_CONFIG_DIRS
    XDG_CONFIG_HOME XDG_DATA_DIRS XDG_DATA_HOME XDG_RUNTIME_DIR

    ALLUSERSPROFILE APPDATA COMMONPROGRAMFILES COMMONPROGRAMFILES(X86) COMMONPROGRAMW6432
    COMPUTERNAME COMSPEC HOMEDRIVE HOMEPATH LOCALAPPDATA NUMBER_OF_PROCESSORS OS PATHEXT
    PROCESSOR_ARCHITECTURE PROCESSOR_IDENTIFIER PROCESSOR_LEVEL PROCESSOR_REVISION PROGRAMDATA
    PROGRAMFILES PROGRAMFILES(X86) PROGRAMW6432 PUBLIC SYSTEMDRIVE SYSTEMROOT TEMP TMP
    USERDOMAIN USERNAME USERPROFILE WINDIR
    """
)
# How to reach the package index: proxies, certificates and passwords.
NETWORK = names(
    """
    HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY http_proxy https_proxy all_proxy no_proxy
    SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE NETRC
    """
)
# Of Python's own variables: what a command's output looks like, and a developer's habits ...
SHOWN = names(
    """
    PYTHONIOENCODING PYTHONUTF8 PYTHONUNBUFFERED PYTHONLEGACYWINDOWSSTDIO PYTHONCOERCECLOCALE
    PYTHONSTARTUP PYTHONBREAKPOINT
    """
)
# ... and where Python looks for packages of the user's and keeps bytecode.
KEPT = names("PYTHONNOUSERSITE PYTHONDONTWRITEBYTECODE PYTHONPYCACHEPREFIX")
OURS = names("COURSE_PATIENCE COURSE_NO_FORK")


def changes_python(name: str) -> bool:
    """Return whether a variable changes what a command's Python does, and so must not pass.

    Python's own names have no underscore, apart from a few that don't change what code does.
    Container images set others, such as `PYTHON_VERSION`.
    """
    python = name.startswith("PYTHON") and name[6:7].isalpha()
    return python and name not in SHOWN | KEPT


def for_command(here: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment of a command of the course."""
    return {name: value for name, value in here.items() if not changes_python(name)}


def for_setup(here: Mapping[str, str] = os.environ, **settings: str) -> dict[str, str]:
    """Return the environment of pip and uv."""
    return _only(SYSTEM | NETWORK, here) | settings


def for_program(here: Mapping[str, str] = os.environ, **settings: str) -> dict[str, str]:
    """Return the environment of a grader, of learners' code and of the programs that serve it.

    These processes connect only to this machine. macOS and Windows may name a proxy in the system's
    own settings, so `NO_PROXY` is set.
    """
    return _only(SYSTEM | KEPT | OURS, here) | {"NO_PROXY": "*"} | settings


def _only(passing: frozenset[str], here: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in here.items() if name in passing}
