"""The set-up compiles every module that commands and graders import, and no missing ones."""

import ast
import importlib.util
import sys

from course.lesson.lessons import ROOT
from course.setup import bytecode

NAMES = [name.removesuffix(".*") for half in bytecode.IMPORTED for name in half.split()]
OURS = {"course", "tests", *(path.stem for path in ROOT.glob("solutions/*/*.py"))}


def test_every_name_is_a_module():
    assert [name for name in NAMES if importlib.util.find_spec(name) is None] == []


def test_every_import_of_commands_and_graders_is_compiled():
    files = [*ROOT.glob("course/**/*.py"), *ROOT.glob("tests/*.py"), *ROOT.glob("tests/probes/*")]
    imported = set()
    for file in files:
        if file.suffix == ".py":
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                if isinstance(node, ast.Import):
                    imported |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module:
                    imported.add(node.module.partition(".")[0])
    # urllib3 comes with requests.
    compiled = {name.partition(".")[0] for name in NAMES} | {"urllib3"}

    assert imported - compiled - OURS - sys.stdlib_module_names == set()
