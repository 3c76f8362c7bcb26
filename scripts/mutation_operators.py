"""The changes of mutation testing: every way in which one place of a module can be slightly wrong.

`<` becomes `<=`, `+` becomes `-`, a number is one more or less, `and` becomes `or`, a condition its contrary,
`min` becomes `max`, a statement or a keyword argument is left out. Annotations, docstrings and the wording of
errors stay as they are.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import Any

# Tests that notice these notice every other change of the comparison (Kaminski, Ammann and Offutt 2013).
_COMPARED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.NotEq, ast.Gt),
    ast.LtE: (ast.Lt, ast.Eq, ast.GtE),
    ast.Gt: (ast.GtE, ast.NotEq, ast.Lt),
    ast.GtE: (ast.Gt, ast.Eq, ast.LtE),
    ast.Eq: (ast.LtE, ast.GtE, ast.NotEq),
    ast.NotEq: (ast.Lt, ast.Gt, ast.Eq),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_COMPUTED: dict[type[ast.operator], tuple[type[ast.operator], ...]] = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div, ast.Add),
    ast.Div: (ast.Mult, ast.FloorDiv),
    ast.FloorDiv: (ast.Mult, ast.Div),
    ast.Mod: (ast.Mult,),
    ast.Pow: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
}
_EXCHANGED = (("min", "max"), ("argmin", "argmax"), ("minimum", "maximum"), ("floor", "ceil"), ("any", "all"))
_CALLED = {
    "sum": "max",
    "mean": "max",
    "median": "mean",
    "cumsum": "cumprod",
    "round": "int",
    "zeros": "ones",
}
_CALLED |= dict(_EXCHANGED) | {second: first for first, second in _EXCHANGED}
_DROPPED = {"sqrt", "abs", "log", "exp", "sort", "sorted", "log1p", "expm1", "unique"}  # their argument stays
_SIDES = {"left": "right", "right": "left"}


@dataclass(frozen=True)
class Mutant:
    """One change.

    Attributes:
        line: where it is.
        function: that it is in, with its class; empty outside.
        old, new: the line before and after, as `ast.unparse` writes it.
        source: the whole module with the change.
    """

    line: int
    function: str
    old: str
    new: str
    source: str


def mutants(source: str) -> Iterator[Mutant]:
    """Give every change of a module, each once."""
    tree = ast.parse(source)
    before = ast.unparse(tree)
    seen = {before}
    for place, node, line, function in _places(tree):
        for changed in _changes(node):
            place(changed)
            after = ast.unparse(tree)
            place(node)
            if after not in seen:
                seen.add(after)
                yield Mutant(line, function, *_difference(before, after), after)


def _difference(before: str, after: str) -> tuple[str, str]:
    old, new = before.splitlines(), after.splitlines()
    start = _equal(old, new)
    end = _equal(old[start:][::-1], new[start:][::-1])
    first, second = (" / ".join(map(str.strip, part[start : len(part) - end])) for part in (old, new))
    return first, second


def _equal(old: Sequence[str], new: Sequence[str]) -> int:
    """Count the first lines that are the same."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(old, new, strict=False)))


def _places(node: ast.AST, line: int = 0, function: str = "") -> Iterator[tuple[Any, ast.AST, int, str]]:
    """Give what may be changed: how to put something else there, the node, its line, its function."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        children = value if isinstance(value, list) else [value]
        for index, child in enumerate(children):
            if not isinstance(child, ast.AST) or _is_left_alone(child):
                continue
            at = getattr(child, "lineno", line)
            within = function
            if isinstance(child, (ast.FunctionDef, ast.ClassDef)):
                within = ".".join(filter(None, [function, child.name]))
            if isinstance(value, list):
                yield partial(value.__setitem__, index), child, at, within
            else:
                yield partial(setattr, node, name), child, at, within
            if not isinstance(child, ast.Raise):  # how an error is worded
                yield from _places(child, at, within)


def _is_left_alone(node: ast.AST) -> bool:
    if isinstance(node, ast.keyword):
        return node.arg == "strict"  # of zip: a check that code is right
    if isinstance(node, ast.If):
        return "TYPE_CHECKING" in ast.unparse(node.test)
    if isinstance(node, ast.Assign):
        return ast.unparse(node.value).startswith("TypeVar(")
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _changes(node: Any) -> Iterator[ast.AST]:
    """Give what is put in the place of a node."""
    if isinstance(node, (ast.Expr, ast.AugAssign, ast.Raise)) or (
        isinstance(node, ast.Assign) and isinstance(node.targets[0], (ast.Subscript, ast.Attribute))
    ):
        yield ast.Pass()
    if isinstance(node, ast.Compare):
        texts = any(
            isinstance(getattr(value, "value", None), str) for value in (node.left, *node.comparators)
        )
        for place, operator in enumerate(node.ops):
            # Texts are the same or not; which of them comes first is no mistake that anyone makes.
            for other in _COMPARED[type(operator)][-1 if texts else 0 :]:
                yield _with(node, ops=[*node.ops[:place], other(), *node.ops[place + 1 :]])
    elif isinstance(node, (ast.BinOp, ast.AugAssign)):
        yield from (_with(node, op=other()) for other in _COMPUTED.get(type(node.op), ()))
    elif isinstance(node, ast.BoolOp):
        yield _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.Constant):
        yield from (ast.Constant(other) for other in _other_values(node.value))
    elif isinstance(node, (ast.If, ast.While, ast.IfExp)):
        if not isinstance(node.test, (ast.Compare, ast.UnaryOp)):  # which have changes of their own
            yield _with(node, test=ast.UnaryOp(ast.Not(), node.test))
        if isinstance(node, ast.IfExp):
            yield from (node.body, node.orelse)
    elif isinstance(node, ast.comprehension) and node.ifs:
        yield _with(node, ifs=[])
    elif isinstance(node, ast.For):
        yield _with(node, iter=ast.Tuple([], ast.Load()))
    elif isinstance(node, (ast.Break, ast.Continue)):
        yield ast.Continue() if isinstance(node, ast.Break) else ast.Break()
    elif isinstance(node, ast.Call):
        yield from _other_calls(node)


def _other_values(value: Any) -> Sequence[Any]:
    if isinstance(value, bool):
        return (not value,)
    if isinstance(value, (int, float)):
        return (value + 1, value - 1)
    return (_SIDES[value],) if value in _SIDES else ()


def _other_calls(call: ast.Call) -> Iterator[ast.AST]:
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if name in _CALLED:
        other = {"attr" if isinstance(function, ast.Attribute) else "id": _CALLED[name]}
        yield _with(call, func=_with(function, **other))
    if name in _DROPPED and call.args:
        yield call.args[0]
    for keyword in call.keywords:
        if keyword.arg not in (None, "strict"):
            yield _with(call, keywords=[other for other in call.keywords if other is not keyword])


def _with(node: ast.AST, **fields: object) -> ast.AST:
    changed = copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed
