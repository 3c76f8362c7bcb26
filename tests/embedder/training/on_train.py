"""`embed` for test_distributed.py, with a fault: STOP="2 ValueError" raises it in batch 1 of epoch 2."""

from __future__ import annotations

import builtins
import contextlib
import os
from collections.abc import Iterator
from typing import Any

from embedder._internal.runtime import Advance
from enroll.cli import main, terminal, train

EPOCH, _, ERROR = os.environ.get("STOP", "0 ValueError").partition(" ")


class Stops(terminal.TerminalProgress):
    @contextlib.contextmanager
    def bar(self, label: str, total: int, unit: str = "") -> Iterator[Advance]:
        def advance(*_: Any) -> None:
            if label.startswith(f"Epoch {EPOCH}/"):
                raise getattr(builtins, ERROR)("stopped by the test")

        yield advance


train.TerminalProgress = Stops  # type: ignore[misc]
main()
