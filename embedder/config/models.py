"""List the names of models, formats and weights, for commands that load none of them."""

from __future__ import annotations

BUILT_IN = "built-in"  # accepted instead of a model folder; a folder of this name is given as ./built-in
FORMATS = ("onnx", "litert", "saved-model")
WEIGHTS = ("float16", "int8")  # types of quantized weights, besides float32
