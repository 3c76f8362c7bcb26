"""Export trained networks to LiteRT, ONNX and SavedModel, and quantize their weights."""
