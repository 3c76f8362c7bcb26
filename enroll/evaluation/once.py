"""Cache the result of a computation with the object it is about."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

Owner = TypeVar("Owner")
Result = TypeVar("Result")
Rest = ParamSpec("Rest")
Work = Callable[Concatenate[Owner, Rest], Result]


def computed_once(work: Work[Owner, Rest, Result]) -> Work[Owner, Rest, Result]:
    """Cache the result of a function of an object and arguments, while the object lives.

    The object must not change, and callers must not change the result.
    """
    kept: WeakKeyDictionary[Owner, dict[object, Result]] = WeakKeyDictionary()

    @wraps(work)
    def look_up(owner: Owner, /, *args: Rest.args, **kwargs: Rest.kwargs) -> Result:
        known = kept.setdefault(owner, {})
        key = (args, tuple(sorted(kwargs.items())))
        if key not in known:
            known[key] = work(owner, *args, **kwargs)
        return known[key]

    return look_up
