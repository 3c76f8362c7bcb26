"""Which models, formats and weights a user may name: what commands know before they load any."""

from __future__ import annotations

BUILT_IN = "built-in"  # in the place of a model folder; a folder of this name is given as ./built-in
FORMATS = ("onnx", "litert", "saved-model")
WEIGHTS = ("float16", "int8")  # besides float32
