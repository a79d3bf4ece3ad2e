"""What requirements.txt pins, and which of it is here."""

import pytest
from little_setup import ROOT
from packaging.markers import Marker
from packaging.requirements import Requirement

from course.setup import packages

MARKERS = (
    "sys_platform == 'win32'",
    "sys_platform != 'win32' and python_version < '3.13'",
    "python_full_version >= '3.12' or (platform_system == 'Darwin' and os_name == 'posix')",
    "'3.12' > python_version",
    "python_full_version == '3.11.*'",
    "python_full_version != '3.11.*' and implementation_name == 'cpython'",
    "platform_machine in 'x86_64 AMD64' and platform_python_implementation != 'PyPy'",
)


def test_requirements_has_only_pins():
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    requirements = [
        Requirement(line) for line in lines if line and not line.lstrip().startswith("#")
    ]

    assert requirements
    assert all(str(requirement.specifier).startswith("==") for requirement in requirements)


def test_this_python_has_everything_that_is_pinned():
    assert packages.missing() == []


@pytest.mark.parametrize("system", ["Linux", "Darwin", "Windows"])
@pytest.mark.parametrize("version", ["3.11.0", "3.11.9", "3.12.1", "3.13.0", "3.14.2", "3.15.1"])
def test_every_marker_is_understood_as_pip_understands_it(monkeypatch, system, version):
    environment = {
        "os_name": {"Windows": "nt"}.get(system, "posix"),
        "sys_platform": {"Windows": "win32"}.get(system, system.lower()),
        "platform_system": system,
        "platform_machine": {"Darwin": "arm64"}.get(system, "x86_64"),
        "platform_release": "6.1",
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
        "python_version": version.rpartition(".")[0],
        "python_full_version": version,
    }
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.lstrip().startswith("#")]
    markers = [pin.marker for pin in pins if pin.marker]
    versions = {k: packages.Version(v) for k, v in environment.items() if k.startswith("python_")}
    monkeypatch.setattr(packages, "Environment", lambda: environment | versions)

    for marker in [*markers, *map(Marker, MARKERS)]:
        assert packages.applies(str(marker)) == marker.evaluate(environment), marker
