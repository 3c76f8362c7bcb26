"""The checks that hold on every back end, on JAX; a program of its own, as a process has one back end."""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "jax"

import keras

from tests.contracts import cases

assert keras.backend.backend() == "jax"
for case in cases.first_of("head", "loss"):
    try:
        cases.check_oracle(case)
        if case.options["head"] in ("center", "dense-center"):  # state besides weights
            cases.check_training(case)
        if cases.build(case.config).parameters:
            cases.check_moved(case)
    except Exception as error:
        error.add_note(f"on JAX, of: {case}")
        raise
    print(case)  # noqa: T201 - the test reads the lines
