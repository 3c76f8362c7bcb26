"""A trained network for other programs: LiteRT, ONNX, SavedModel, and smaller weights."""
