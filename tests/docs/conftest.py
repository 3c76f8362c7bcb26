"""What the tests of several pages share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import keras


@pytest.fixture
def quick_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile without XLA, which takes seconds for what trains in a moment.

    The optimizer is built at once: if training makes its variables, its first step is traced twice.
    """
    import keras  # not with this module: `pytest tests/docs` loads it before Keras's chatter is held back

    compile_model = keras.Model.compile

    def compile_and_build(model: keras.Model, *args: Any, **options: Any) -> None:
        compile_model(model, *args, **options, jit_compile=False)
        model.optimizer.build(model.trainable_variables)

    monkeypatch.setattr(keras.Model, "compile", compile_and_build)
