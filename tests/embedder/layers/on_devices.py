"""Train centers on two CPU devices and on one with the same batches; a program, as devices are set once.

`python -m tests.embedder.layers.on_devices tensorflow|jax RATE ...` prints as JSON, of each form and
rate, the centers of one device and those of each of the two.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys

BACKEND, *RATES = sys.argv[1:]
os.environ |= {
    "KERAS_BACKEND": BACKEND,
    "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
    "JAX_PLATFORMS": "cpu",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}

import keras  # noqa: E402
import numpy as np  # noqa: E402

from embedder.layers import CenterLoss, DenseWithCenterLoss  # noqa: E402

CLASSES, DIM, BATCH, STEPS = 4, 3, 8, 3


def build(form: str, rate: float) -> keras.Model:
    image, label = keras.Input((DIM,), name="image"), keras.Input((), dtype="int32", name="label")
    features = keras.layers.Dense(DIM, kernel_initializer="identity", name="trunk")(image)
    if form == "layer":
        layer = DenseWithCenterLoss(CLASSES, 0.5, rate, name="head")
        logits = layer(features, label)
    else:
        layer = CenterLoss(CLASSES, 0.5, rate, name="head")
        logits = keras.layers.Dense(CLASSES, name="softmax")(layer(features, label))
    model = keras.Model({"image": image, "label": label}, logits)
    rng = np.random.default_rng(1)
    model.set_weights([rng.normal(size=weight.shape).astype("float32") for weight in model.get_weights()])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss, jit_compile=BACKEND == "jax")
    return model


def centers(form: str, rate: float, scope) -> list[list[list[float]]]:
    """Train, and give the centers of each device."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(BATCH * STEPS, DIM)).astype("float32")
    y = np.tile([0, 0, 0, 1, 1, 2, 0, 0], STEPS).astype("int32")  # no 3; the devices see others
    with scope:
        model = build(form, rate)
        model.fit({"image": x, "label": y}, y, batch_size=BATCH, shuffle=False, epochs=2, verbose=0)
        table = model.get_layer("head").centers.value
    if BACKEND == "jax":
        return [np.asarray(shard.data).tolist() for shard in table.addressable_shards]
    return [np.asarray(part).tolist() for part in getattr(table, "values", [table])]


def scopes():
    """Two devices, without leaving the first block open for the second."""
    if BACKEND == "jax":
        mesh = keras.distribution.DeviceMesh((2,), ("batch",), keras.distribution.list_devices())
        return keras.distribution.DataParallel(mesh, auto_shard_dataset=False).scope()
    return STRATEGY.scope()


if BACKEND == "tensorflow":
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    STRATEGY = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

found = {
    f"{form} {rate}": [centers(form, rate, contextlib.nullcontext()), centers(form, rate, scopes())]
    for form in ("layer", "embedding")
    for rate in map(float, RATES)
}
print(json.dumps(found))  # noqa: T201 - the test reads it
