"""Which back end Keras computes with; to be settled before anything imports keras."""

from __future__ import annotations

import importlib.util
import os
import sys

from embedder.config.machines import BACKENDS, Machines
from embedder.errors import MissingPackageError, UsageError
from embedder.quiet import import_keras


def load_backend(machines: Machines) -> str:
    """Import Keras with the back end that a run asks for.

    Returns:
        Its name.

    Raises:
        MissingPackageError: JAX is not installed.
        UsageError: this process has already imported Keras with another one, or KERAS_BACKEND names one
            that training does not work on.
    """
    alone = machines.sharing == "no"
    set_before = os.environ.get("KERAS_BACKEND")
    wanted = machines.backend or (set_before or "tensorflow" if alone else "jax")
    if wanted not in BACKENDS:
        raise UsageError(
            f"KERAS_BACKEND: expected {' or '.join(BACKENDS)}, got {wanted!r}; unset it or use --backend"
        )
    if wanted == "jax" and not importlib.util.find_spec("jax"):
        raise MissingPackageError(
            "--backend: expected the package jax, which is not installed; "
            "pip install 'embedder-enroll[distributed]', and for GPUs pip install 'jax[cuda13]'"
        )
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = wanted
    import_keras()
    import keras

    if (loaded := keras.backend.backend()) != wanted:
        raise UsageError(
            f"--backend: expected {wanted}, and this process has already loaded Keras with {loaded}. A "
            "process has one back end: start another, or set KERAS_BACKEND before keras is imported"
        )
    return wanted
