"""The Python of docs/losses.md runs on a folder of pictures, and trains."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.conftest import save_people

PAGE = Path(__file__).parents[2] / "docs" / "losses.md"


@pytest.mark.filterwarnings("ignore:.shuffle=True. was passed")  # the default of Keras, for a tf.data.Dataset
@pytest.mark.usefixtures("fresh_keras", "quick_compile")
def test_losses_and_layers_train_in_plain_keras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    save_people(tmp_path / "faces", 5, 5, side=32)
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(0)
    names: dict[str, Any] = {}
    exec(code, names)
    model = names["model"]
    logs = model.history.history
    assert logs["loss"][-1] < logs["loss"][0]
    assert {"loss", "center_loss", "accuracy"} <= set(logs)
    assert logs["accuracy"][-1] > 1 / 5
    assert np.abs(model.layers[-1].centers).sum() > 0
