"""Share a training run among devices of several machines, by `keras.distribution` on JAX."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from embedder._internal.runtime import quiet
from embedder._internal.wording import count
from embedder.config.devices import DeviceConfig
from embedder.errors import UsageError
from embedder.training.data.batches import Batches
from embedder.training.processes import ProcessGroup, connect

# Paths of weights with a row or a column for each class: those of classifiers and of centers.
_BY_CLASS = {
    r"(.*/)?softmax/kernel": (None, "batch"),
    r"(.*/)?softmax/bias": ("batch",),
    r"(.*/)?softmax/centers": ("batch", None),
    r"(.*/)?center/centers/embeddings": ("batch", None),
}
_NO_ONE = 100.0  # value in the means of empty classes; features have a length near 1
_LEAVING = 10  # seconds until JAX stops waiting for other processes at the end; all have finished before


@dataclass(frozen=True, eq=False)
class TrainingDevices:
    """Holds the trunk, and the devices and processes that train it.

    Attributes:
        trunk: model being trained, on all devices.
        local_trunk: copy on this process's first device, used for validation; is `trunk` when training runs
            on one device.
        devices: options of the devices.
        group: processes of the run.
    """

    trunk: keras.Model
    local_trunk: keras.Model
    devices: DeviceConfig = field(default_factory=DeviceConfig)
    group: ProcessGroup = field(default_factory=ProcessGroup)

    def sync_local_trunk(self) -> None:
        """Copy the current weights of `trunk` to `local_trunk`."""
        if self.local_trunk is not self.trunk:
            self.local_trunk.set_weights(self.trunk.get_weights())

    def shared(self, own: Batches) -> Batches | SharedBatches:
        """Return this process's part of the batches; `own` when training runs on one device."""
        return own if self.devices.sharing == "no" else SharedBatches(own, self.group)


@contextlib.contextmanager
def joined(devices: DeviceConfig, say: Callable[[str], None]) -> Iterator[ProcessGroup]:
    """Connect to the other processes of a run, and disconnect at its end.

    Args:
        devices: number of processes, and the number of this one.
        say: function that gets a message when another process stops.

    Raises:
        UsageError: a process did not connect in time.
    """
    if devices.num_processes == 1:
        yield ProcessGroup()
        return
    group = connect(devices.address, devices.num_processes, devices.process_id, devices.startup_timeout, say)
    with group.until_done():
        _join_jax(devices)
        try:
            yield group
            group.gather(b"")
        except BaseException:
            if not group.is_first:  # before the others are informed and end: JAX then aborts this process
                _leave()  # not in `quiet`, so that an abort by the end of process 0 shows its message
            raise
        if not group.is_first:
            with quiet():
                _leave()
    if group.is_first:  # last, since JAX aborts the processes that are connected when process 0 leaves
        with quiet():
            _leave()


def _join_jax(devices: DeviceConfig) -> None:
    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.config.update("jax_enable_preemption_service", False)  # it would catch SIGTERM
    jax.config.update("jax_enable_recoverability", True)  # `ProcessGroup` ends processes, with a message
    with quiet():
        jax.distributed.initialize(
            devices.coordinator,
            devices.num_processes,
            devices.process_id,
            cluster_detection_method="deactivate",
            coordinator_bind_address=devices.coordinator,  # not all network addresses of the machine
            shutdown_timeout_seconds=_LEAVING,
        )


def _leave() -> None:
    import jax

    jax.distributed.shutdown()


@contextlib.contextmanager
def distribution(devices: DeviceConfig, batch_size: int) -> Iterator[None]:
    """Place models built in this block on all devices, and split each batch among these.

    Args:
        devices: options of the devices.
        batch_size: number of photos in a batch of all processes.

    Raises:
        UsageError: a batch cannot be split evenly.
    """
    if devices.sharing == "no":
        yield
        return
    all_devices = keras.distribution.list_devices()
    if batch_size % len(all_devices):
        raise UsageError(
            f"--batch-size: expected a multiple of {len(all_devices)}, as so many devices share each "
            f"batch, got {batch_size}"
        )
    mesh = keras.distribution.DeviceMesh((len(all_devices),), ("batch",), all_devices)
    if devices.sharing == "classes":
        layouts = keras.distribution.LayoutMap(mesh)
        for path, axes in _BY_CLASS.items():
            layouts[path] = axes
        placed = keras.distribution.ModelParallel(
            layout_map=layouts, batch_dim_name="batch", auto_shard_dataset=False
        )
    else:
        placed = keras.distribution.DataParallel(mesh, auto_shard_dataset=False)
    with placed.scope():
        yield


@contextlib.contextmanager
def this_process_alone() -> Iterator[None]:
    """Build and run models in this block on the first device of this process."""
    before = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(before)


def padded_classes(people: int, devices: DeviceConfig) -> int:
    """Compute the number of classes to build, with `--parallel classes` a multiple of devices.

    The classes beyond the people have no photos, so the softmax soon gives them no probability.
    """
    device_count = len(keras.distribution.list_devices()) if devices.sharing == "classes" else 1
    return -(-people // device_count) * device_count


def padded_means(means: NDArray[np.float32], devices: DeviceConfig) -> NDArray[np.float32]:
    """Append rows for classes without photos, far from all features, to (classes, dim) means."""
    more = padded_classes(len(means), devices) - len(means)
    far = np.full((more, means.shape[1]), _NO_ONE, np.float32)
    return np.concatenate([means, far])


class SharedBatches(keras.utils.PyDataset):  # type: ignore[misc]
    """Gives this process's part of each global batch, the same number in all processes.

    Only full batches are used; the remaining photos of an epoch may be in those of the next one.

    Args:
        own: batches of this process's photos, each a part of a global batch.
        group: processes of the run.

    Raises:
        UsageError: the parts cannot be of one size, or their sum cannot be split among the devices.
    """

    def __init__(self, own: Batches, group: ProcessGroup) -> None:
        super().__init__()
        self._own = own
        sizes, last = _photos_in(own, 0), _photos_in(own, len(own) - 1)
        parts = group.gather_json([sizes, len(own) - (last < sizes)])
        self._steps: int = min(steps for _, steps in parts)
        if len({size for size, _ in parts}) > 1:
            raise UsageError(
                "--batch-size: expected the same number of photos from each process, got "
                f"{', '.join(str(size) for size, _ in parts)}, as one has too few photos or people; take a "
                "smaller batch or fewer processes"
            )
        device_count = len(keras.distribution.list_devices())
        if sizes * group.count % device_count:
            raise UsageError(
                f"--batch-size: expected batches that {count(device_count, 'device')} can share evenly, got "
                f"{count(sizes * group.count, 'photo')}; change it, or add photos if there are fewer than it "
                "asks for"
            )

    def __len__(self) -> int:
        """Return the number of batches per epoch."""
        return self._steps

    def __getitem__(self, index: int) -> Any:
        """Return this process's part of batch `index`."""
        return self._own[index]

    def on_epoch_end(self) -> None:
        """Go on to the next epoch."""
        self._own.on_epoch_end()


def _photos_in(batches: Batches, index: int) -> int:
    return len(batches[index][0]["label"])
