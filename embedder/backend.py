"""Load Keras with a back end, set its precision, and compile models for it.

The back end has to be chosen before anything imports keras (`load_backend`).
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from embedder._internal.runtime import import_keras
from embedder.config.devices import BACKENDS, DeviceConfig
from embedder.errors import MissingPackageError, UsageError

if TYPE_CHECKING:
    import keras

FLOAT32, MIXED = "float32", "mixed_float16"


def load_backend(devices: DeviceConfig) -> str:
    """Import Keras with the back end of a training run.

    Args:
        devices: options of the run; the back end is its `backend`, else KERAS_BACKEND, else TensorFlow, or
            JAX if several devices share the work.

    Returns:
        Name of the back end, one of `BACKENDS`.

    Raises:
        MissingPackageError: JAX is not installed.
        UsageError: this process has already imported Keras with another back end, or KERAS_BACKEND names one
            that training does not support.
    """
    alone = devices.sharing == "no"
    set_before = os.environ.get("KERAS_BACKEND")
    wanted = devices.backend or (set_before or "tensorflow" if alone else "jax")
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


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Set the precision of the layers that are built in this block; weights stay float32.

    Mixed precision (Micikevicius et al. 2018, "Mixed Precision Training") computes layers in float16 and
    scales the loss so that small gradients do not become zero; heads compute in float32.

    Args:
        name: `float32`, `mixed`, or `auto`: mixed on a GPU. On a CPU float16 is emulated and slower.
    """
    import keras

    mixed = name == "mixed" or (name == "auto" and _has_gpu())
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(MIXED if mixed else FLOAT32)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _has_gpu() -> bool:
    import keras

    return any(device.startswith("gpu") for device in keras.distribution.list_devices())


def in_float32(trunk: keras.Model, build: Callable[[], keras.Model]) -> keras.Model:
    """Return a trunk that computes in float32, with the weights of a trained one.

    Args:
        trunk: trained trunk; returned itself if it computes in float32.
        build: function that builds the same network in float32.
    """
    if trunk.compute_dtype == FLOAT32 and trunk.output.dtype == FLOAT32:
        return trunk
    plain = build()
    plain.set_weights(trunk.get_weights())
    return plain


def compile_model(
    model: keras.Model, optimizer: keras.optimizers.Optimizer, options: Mapping[str, Any], targets: Any
) -> None:
    """Compile a model, and create every variable that its training needs.

    Keras creates the variables of losses and metrics in the first step. TensorFlow, which finds new variables
    while tracing it, then traces the step a second time: seconds, with a large trunk.

    Args:
        model: model that is not yet compiled.
        optimizer: optimizer of the model's weights.
        options: losses, their weights and metrics, for `keras.Model.compile`.
        targets: targets of one batch, in the structure that `fit` gives: arrays (batch, ...).
    """
    import keras

    on_jax = keras.backend.backend() == "jax"
    # With TensorFlow on 2 CPU cores a step of face-resnet takes .22 s, under XLA .33 s.
    model.compile(optimizer=optimizer, jit_compile=on_jax, **options)
    optimizer.build(model.trainable_variables)
    if on_jax:  # there `fit` creates them without tracing
        return
    rows = len(keras.tree.flatten(targets)[0])
    outputs = keras.tree.map_structure(lambda y: keras.ops.zeros((rows, *y.shape[1:]), y.dtype), model.output)
    model.compute_loss(y=targets, y_pred=outputs)
    model.compute_metrics(None, targets, outputs)
    model.reset_metrics()
