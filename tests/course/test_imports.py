"""Imports in course/ have one direction, so you can read a part without the parts that use it."""

import ast
from pathlib import Path

from course.lesson.lessons import ROOT

# A part may import itself and the parts in earlier lines. Parts in one line are independent.
LAYERS = (
    {"setup"},
    {"lesson", "report"},
    {"grading"},
    {"learner"},
    {"workbench", "measuring", "classroom", "author"},
    {"cli"},
)
RANK = {part: rank for rank, parts in enumerate(LAYERS) for part in parts}


def part_of(module: str) -> str:
    """Return the part that a module such as "course.grading.stage" belongs to."""
    return module.split(".")[1] if module.startswith("course.") else ""


def imported(path: Path) -> list[str]:
    """Return the modules of course/ that a file imports, at its top or later."""
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            # Each name may be a module, or an attribute of this one.
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in found if part_of(name) in RANK]


def test_each_part_imports_only_itself_and_earlier_parts():
    wrong = []
    for path in [*sorted((ROOT / "course").glob("*/*.py")), ROOT / "course" / "report.py"]:
        part = path.stem if path.parent == ROOT / "course" else path.parent.name
        for module in imported(path):
            other = part_of(module)
            if other != part and RANK[other] >= RANK[part]:
                wrong.append(f"{path.relative_to(ROOT).as_posix()} imports {module}")

    assert wrong == []


def test_every_part_is_in_a_layer():
    parts = {path.name for path in (ROOT / "course").iterdir() if (path / "__init__.py").is_file()}

    assert parts <= RANK.keys()


def test_no_two_modules_of_a_part_import_each_other():
    circles = []
    for folder in sorted(path for path in (ROOT / "course").iterdir() if path.is_dir()):
        graph = {f"course.{folder.name}.{p.stem}": set(imported(p)) for p in folder.glob("*.py")}
        graph = {module: found & graph.keys() for module, found in graph.items()}
        circles += [f"{one} and {two}" for one in graph for two in graph[one] if one in graph[two]]

    assert circles == []
