"""Labelled folder to model folder; the only code that loads TensorFlow."""
