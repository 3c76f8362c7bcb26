"""Work that nobody waits for any more ends."""

from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError

import pytest

from embedder._internal import runtime
from embedder._internal.runtime import is_working, map_in_order, stop_if_closed


def test_an_item_ends_early_when_the_rest_is_not_wanted() -> None:
    begun, ended = threading.Event(), []

    def work(item: int) -> int:
        if item == 0:
            return item
        begun.set()
        try:
            for _ in range(1000):
                stop_if_closed()
                time.sleep(0.01)
        except CancelledError:
            ended.append(item)
            raise
        return item

    results = map_in_order(work, range(2))
    assert next(results) == 0
    assert begun.wait(30)
    results.close()
    assert ended == [1]
    assert not is_working()


def test_ctrl_c_does_not_wait_for_what_is_at_work() -> None:
    go_on, done = threading.Event(), threading.Event()

    def work(item: int) -> int:
        if item == 0:
            raise KeyboardInterrupt  # as `result` would in the main thread
        go_on.wait(60)
        done.set()
        return item

    results = map_in_order(work, range(2))
    with pytest.raises(KeyboardInterrupt):
        next(results)
    assert not done.is_set()  # it would have been waited for
    assert is_working()
    go_on.set()
    runtime._UNFINISHED.clear()


def test_nothing_ends_where_nothing_is_closed() -> None:
    stop_if_closed()
    assert list(map_in_order(lambda item: stop_if_closed() or item, range(3))) == [0, 1, 2]
