"""Train a trunk on a labelled folder, and write a model folder."""
