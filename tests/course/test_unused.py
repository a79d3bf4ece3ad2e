"""The files of packages that are left out, and those that are used all the same."""

import sysconfig
import zipfile
from pathlib import Path

import pytest
from little_setup import Course, wheel

from course.lesson.lessons import ROOT
from course.setup import unused

ICONS = "material/templates/.icons"
USED = {
    "material/__init__.py": "",
    "material/templates/main.html": '{% include ".icons/material/menu.svg" %}',
    "material/templates/nav.html": "{% set icon = config.icon or 'fontawesome/brands/git-alt' %}",
    f"{ICONS}/material/menu.svg": "",
    f"{ICONS}/fontawesome/brands/git-alt.svg": "",
    f"{ICONS}/material/weather-sunny.svg": "",  # mkdocs.yml names it.
    "babel/core.py": "",
    "babel/locale-data/root.dat": "",
    "babel/locale-data/en.dat": "",
    "babel/locale-data/en_GB.dat": "",
}
UNUSED = {
    f"{ICONS}/logo.svg": "",
    f"{ICONS}/material/menu-down.svg": "",
    f"{ICONS}/simple/flask.svg": "",
    f"{ICONS}/fontawesome/solid/star.svg": "",
    "babel/locale-data/de.dat": "",
    "babel/locale-data/engb.dat": "",
}


def test_a_wheel_is_written_without_what_is_unused(tmp_path):
    (tmp_path / "used").mkdir()
    wheel(tmp_path, "mkdocs_material", "1.0", USED | UNUSED)
    path = next(tmp_path.glob("*.whl"))

    unused.write_used(str(path), str(tmp_path / "used"))

    with zipfile.ZipFile(tmp_path / "used" / path.name) as written:
        info = {f"mkdocs_material-1.0.dist-info/{n}" for n in ("METADATA", "WHEEL", "RECORD")}
        assert set(written.namelist()) == USED.keys() | info
        record = written.read("mkdocs_material-1.0.dist-info/RECORD").decode().splitlines()
        assert {line.split(",")[0] for line in record} == USED.keys() | info
        assert (
            written.read("material/templates/main.html").decode()
            == USED["material/templates/main.html"]
        )


def test_what_is_unused_is_removed_from_the_packages(monkeypatch, tmp_path):
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    for name, text in (USED | UNUSED).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")

    unused.remove()

    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    assert {name for name in left if (tmp_path / name).is_file()} == USED.keys()


@pytest.mark.parametrize("with_uv", [True, False])
def test_a_set_up_leaves_out_what_is_unused(set_up: Course, with_uv):
    pins = {"mkdocs_material": "material/", "babel": "babel/"}
    for name, start in pins.items():
        files = {file: text for file, text in (USED | UNUSED).items() if file.startswith(start)}
        wheel(set_up.wheels, name, "1.0", files)
    set_up.pin("tiny==1.0", "mkdocs-material==1.0", "babel==1.0")
    (set_up.root / "mkdocs.yml").write_text((ROOT / "mkdocs.yml").read_text("utf-8"), "utf-8")
    if not with_uv:
        set_up.lose_uv()

    run = set_up.run()

    assert run.status == 0, run.stderr
    assert all((set_up.packages / name).is_file() for name in USED)
    assert not any((set_up.packages / name).exists() for name in UNUSED)


def test_every_icon_of_the_site_is_one_that_is_kept():
    """A page may name an icon too: then it has to be found here."""
    named = unused.ICON.findall((ROOT / "mkdocs.yml").read_text("utf-8"))
    icons = Path(sysconfig.get_path("purelib"), ICONS)

    assert named
    assert [name for name in named if not (icons / f"{name}.svg").is_file()] == []
