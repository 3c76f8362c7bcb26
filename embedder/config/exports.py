"""Forms that a model can be given to other programs in, and be stored in."""

FORMATS = ("onnx", "litert", "saved-model")
WEIGHTS = ("float16", "int8")  # besides float32
