"""Hostile values, and a case for each field of a JSON value that holds one: for `fuzz_fields.py`."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

DEEP: Any = json.loads("[" * 900 + "]" * 900)
HUGE = int("9" * 400)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, -(2**63), 2**63, 2**64, HUGE, -HUGE, 0.5, -0.5, 2.5),
    *(1e300, -1e300, 1e-300, float("nan"), float("inf"), float("-inf")),
    *("", " ", "0", "x", "nan", "x" * 2**20, "\x1b[2J", "a\nb", "\x00", "\udcff", "\u202eabc", "../../etc"),
    *("0" * 64, "2999-12-31", "0000-00-00", "built-in", "2026-11-28T20:44:31+00:00"),
    *([], {}, [1], [None], {"a": 1}, [[]], DEEP, [0.5] * 10_000, ["x"] * 10_000),
)
RAW: tuple[Any, ...] = (  # what SQLite holds
    *(None, 0, 1, -1, 2**62, -(2**63), 1e300, float("inf"), "", "x", "\x1b[2J", "x" * 2**20, "[" * 10_000),
    *(b"", b"\0" * 16, b"\xff" * 16, b"[" * 10_000, b"x" * 2**20, b'["a"]', b"[1,2,3]", b'["a",[],{}]'),
    *(
        b'["\\ud800",null,null]',
        b'["a","b","c"]',
        b'["a",null,"2999-12-31"]',
        b'["a",null,"' + b"9" * 400 + b'"]',
    ),
)
Cases = list[tuple[str, Callable[[Path], object]]]


def places(content: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Give the way to every value inside a JSON value; of a list the first three."""
    yield at
    inside: Any = ()
    if isinstance(content, dict):
        inside = content.items()
    elif isinstance(content, list):
        inside = list(enumerate(content))[:3]
    for name, value in inside:
        yield from places(value, (*at, name))


def changed(content: Any, at: tuple[Any, ...], value: Any) -> Any:
    """Give a JSON value with another in one place."""
    if not at:
        return value
    content = copy.deepcopy(content)
    inside = content
    for name in at[:-1]:
        inside = inside[name]
    inside[at[-1]] = value
    return content


def in_fields(kind: str, content: Any, read: Callable[[Path, Any], object]) -> Cases:
    """Give a case for each field and value, and for each field that is gone or has a sister."""

    def with_value(folder: Path, at: tuple[Any, ...], value: Any) -> object:
        return read(folder, changed(content, at, value))

    cases: Cases = []
    for at in places(content):
        for number, value in enumerate(VALUES):
            name = f"{kind} {'.'.join(map(str, at)) or 'itself'} value {number}"
            cases.append((name, partial(with_value, at=at, value=value)))
    for at in places(content):
        if at and isinstance(at[-1], str):
            shorter, longer = copy.deepcopy(content), copy.deepcopy(content)
            for one, change in ((shorter, dict.pop), (longer, lambda inside, _: inside.update(surplus=1))):
                inside = one
                for name in at[:-1]:
                    inside = inside[name]
                change(inside, at[-1])
                cases.append(
                    (
                        f"{kind} {'.'.join(map(str, at))} gone or doubled",
                        partial(with_value, at=(), value=one),
                    )
                )
    return cases


def dumped(content: Any) -> bytes:
    """Give JSON as Python's own writer does, with NaN and half surrogate pairs as they are."""
    return (
        json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True).encode(errors="surrogatepass")
        + b"\n"
    )
