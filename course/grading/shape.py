"""Explain an error that a test raised because the learner's data doesn't have the right shape.

A test reads `message["id"]` where the learner's code sent a message without an id. The test's
KeyError isn't a fault of the grader, so the learner gets a card like any other.
"""

import ast
import linecache
from itertools import islice
from pathlib import Path
from types import CodeType, TracebackType

from course.grading.expect import Unmet, in_json
from course.lesson.lessons import ROOT
from course.report import WireLine

# The exceptions of an operation on a value of the wrong type, size or shape.
KINDS = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
PLAIN = (dict, list, tuple, str, int, float, bool, type(None))  # the types of data
EVALUATED = (ast.Name, ast.Attribute, ast.Subscript, ast.Constant, ast.Slice, ast.UnaryOp, ast.USub)
NEXT = "Compare what your code sent with the format on the lesson's page."


def unmet(error: BaseException, wire: list[WireLine]) -> Unmet | None:
    """Return the expectation that the data didn't meet; None if the error is of another kind.

    `wire` is what went by in the test. If the learner's code sent nothing, it isn't to blame.
    """
    received = [line for line in wire if line.arrow == "←"]
    place = _place(error.__traceback__)
    if not isinstance(error, KINDS) or not received or not place:
        return None
    expected, got = _in_words(error, *place)
    return Unmet(expected, got or received[-1].what, NEXT)


def _place(trace: TracebackType | None) -> tuple[ast.expr | None, dict] | None:
    """Return the expression of ours that raised, and its variables; None if no line of ours did."""
    found = None
    while trace:
        code = trace.tb_frame.f_code
        if Path(code.co_filename).is_relative_to(ROOT):
            found = trace
        trace = trace.tb_next
    if not found:
        return None
    frame = found.tb_frame
    node = _expression(frame.f_code, found.tb_lasti)
    return node, {**frame.f_globals, **frame.f_locals}


def _expression(code: CodeType, instruction: int) -> ast.expr | None:
    """Return the expression that an instruction belongs to, if its source can be read."""
    first, last, begin, end = next(islice(code.co_positions(), instruction // 2, None))
    if None in (first, last, begin, end):
        return None
    lines = [linecache.getline(code.co_filename, n).encode() for n in range(first, last + 1)]
    lines[-1] = lines[-1][:end]
    text = b"".join(lines)[begin:].decode("utf-8", "replace")
    try:
        return ast.parse(f"({text})", mode="eval").body
    except SyntaxError:
        return None


def _in_words(error: BaseException, node: ast.expr | None, names: dict) -> tuple[str, str]:
    """Return what was expected of the data, and the data if the expression names it."""
    if isinstance(node, ast.Subscript):
        data, key = _value(node.value, names), _value(node.slice, names)
        got = in_json(data[0]) if data else ""
        match key:
            case [str() as name]:
                return f'an object with the field "{name}"', got
            case [int() as place] if not data or not isinstance(data[0], dict):
                count = place + 1 if place >= 0 else -place
                return f"a list of at least {count} item{'s' * (count != 1)}", got
    if isinstance(node, ast.Attribute) and (data := _value(node.value, names)):
        return "data of the type that the page states", in_json(data[0])
    parts = list(ast.iter_child_nodes(node)) if node else []
    shown = [
        f"{ast.unparse(part)} = {in_json(value[0], 120)}"
        for part in parts
        if not isinstance(part, ast.Constant) and (value := _value(part, names))
    ]
    got = f"{', '.join(shown)}: {error}" if shown else ""
    return "data of the types that the page states", got


def _value(node: ast.expr, names: dict) -> tuple | None:
    """Return the value of an expression in a tuple; None if it calls something or isn't data."""
    inner = (part for part in ast.walk(node) if not isinstance(part, ast.expr_context))
    if not all(isinstance(part, EVALUATED) for part in inner):
        return None
    try:
        value = eval(compile(ast.Expression(node), "", "eval"), names)
    except Exception:
        return None
    return (value,) if isinstance(value, PLAIN) else None
