"""Forms that a model can be given to other programs in."""

FORMATS = ("onnx", "litert", "saved-model")
