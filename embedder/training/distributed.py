"""Share one training run among devices, also of several machines, with `keras.distribution` on JAX."""

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

# Weights with a row or a column for each class: of the classifiers, and of the centers.
_BY_CLASS = {
    r"(.*/)?softmax/kernel": (None, "batch"),
    r"(.*/)?softmax/bias": ("batch",),
    r"(.*/)?softmax/centers": ("batch", None),
    r"(.*/)?center/centers/embeddings": ("batch", None),
}
_NO_ONE = 100.0  # features of any trunk here are of a length near 1
_LEAVING = 10  # seconds for all processes to say goodbye to JAX; they have met just before


@dataclass(frozen=True, eq=False)
class TrainingDevices:
    """A trunk in training, and who shares the work.

    Attributes:
        trunk: the one that is trained, on all devices.
        local_trunk: the one that measures, on this process alone; `trunk` itself if nothing is shared.
        devices: what is shared.
        group: all processes.
    """

    trunk: keras.Model
    local_trunk: keras.Model
    devices: DeviceConfig = field(default_factory=DeviceConfig)
    group: ProcessGroup = field(default_factory=ProcessGroup)

    def sync_local_trunk(self) -> None:
        """Give the eye the weights that the trunk has now."""
        if self.local_trunk is not self.trunk:
            self.local_trunk.set_weights(self.trunk.get_weights())

    def shared(self, own: Batches) -> Batches | SharedBatches:
        """Give this process's part of the batches; its own ones if nothing is shared."""
        return own if self.devices.sharing == "no" else SharedBatches(own, self.group)


@contextlib.contextmanager
def joined(devices: DeviceConfig, say: Callable[[str], None]) -> Iterator[ProcessGroup]:
    """Connect to the other processes of a run, and disconnect at its end.

    Args:
        devices: how many there are and which one this is.
        say: is reports when another process stops.

    Raises:
        UsageError: someone did not come.
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
            if not group.is_first:  # before the others hear of it and end: JAX aborts who is still there
                _leave()  # aloud, as process 0 may end meanwhile, and then this one says so
            raise
        if not group.is_first:
            with quiet():
                _leave()
    if group.is_first:  # last, as its leaving ends those who are still there
        with quiet():
            _leave()


def _join_jax(devices: DeviceConfig) -> None:
    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.config.update("jax_enable_preemption_service", False)  # it would swallow SIGTERM
    jax.config.update("jax_enable_recoverability", True)  # `ProcessGroup` ends a process, in plainer words
    with quiet():
        jax.distributed.initialize(
            devices.coordinator,
            devices.num_processes,
            devices.process_id,
            cluster_detection_method="deactivate",
            coordinator_bind_address=devices.coordinator,  # and not every network of the machine
            shutdown_timeout_seconds=_LEAVING,
        )


def _leave() -> None:
    import jax

    jax.distributed.shutdown()


@contextlib.contextmanager
def distribution(devices: DeviceConfig, batch_size: int) -> Iterator[None]:
    """Let what is built in this block live on all devices, and each batch be split among them.

    Raises:
        UsageError: a batch cannot be split evenly.
    """
    if devices.sharing == "no":
        yield
        return
    every_device = keras.distribution.list_devices()
    if batch_size % len(every_device):
        raise UsageError(
            f"--batch-size: expected a multiple of {len(every_device)}, as so many devices share each "
            f"batch, got {batch_size}"
        )
    mesh = keras.distribution.DeviceMesh((len(every_device),), ("batch",), every_device)
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
    """Let what is built or run in this block live on the first device of this process, without the others."""
    before = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(before)


def padded_classes(people: int, devices: DeviceConfig) -> int:
    """Give the number of classes to build: with `--parallel classes` each device takes as many.

    The few that are no one are learned away at once: no photo is ever theirs.
    """
    device_count = len(keras.distribution.list_devices()) if devices.sharing == "classes" else 1
    return -(-people // device_count) * device_count


def padded_means(means: NDArray[np.float32], devices: DeviceConfig) -> NDArray[np.float32]:
    """Give class means (classes, dim) and rows for classes that are no one, far from any photo."""
    more = padded_classes(len(means), devices) - len(means)
    far = np.full((more, means.shape[1]), _NO_ONE, np.float32)
    return np.concatenate([means, far])


class SharedBatches(keras.utils.PyDataset):  # type: ignore[misc]
    """This process's part of each global batch; all processes have as many, and all are whole.

    What is left over of an epoch is left to the next one's order.

    Args:
        own: batches of this process's photos, each of its part of a global batch.
        group: all processes.

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
        """Batches per epoch."""
        return self._steps

    def __getitem__(self, index: int) -> Any:
        """Give this process's part of batch `index`."""
        return self._own[index]

    def on_epoch_end(self) -> None:
        """Go on to the next epoch."""
        self._own.on_epoch_end()


def _photos_in(batches: Batches, index: int) -> int:
    return len(batches[index][0]["label"])
