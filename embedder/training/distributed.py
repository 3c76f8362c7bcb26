"""One run on several devices, also of several machines, with `keras.distribution` on JAX."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from embedder.config.machines import Machines
from embedder.errors import UsageError
from embedder.folders import LabelledFolder, Rejected
from embedder.quiet import quiet
from embedder.training.batches import Batches
from embedder.training.peers import Peers, meet
from embedder.training.photos import Photos

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
class Crew:
    """Who shares the work of a run.

    Attributes:
        eye: the trunk that measures, on this process alone; the one that trains, if nothing is shared.
        machines: what is shared.
        peers: all processes.
    """

    eye: keras.Model
    machines: Machines = field(default_factory=Machines)
    peers: Peers = field(default_factory=Peers)


@contextlib.contextmanager
def together(machines: Machines, say: Callable[[str], None]) -> Iterator[Peers]:
    """Meet the other processes of a run, and leave together.

    Args:
        machines: how many there are and which one this is.
        say: is told when another process stops.

    Raises:
        UsageError: someone did not come.
    """
    if machines.processes == 1:
        yield Peers()
        return
    peers = meet(machines.address, machines.processes, machines.process, machines.patience, say)
    with peers.until_done():
        _join_jax(machines)
        try:
            yield peers
            peers.gather(b"")
        finally:  # before the others hear of an error and end: JAX aborts who is still there
            if not peers.is_first:
                _leave()
    if peers.is_first:  # last, as its leaving ends those who are still there
        _leave()


def _join_jax(machines: Machines) -> None:
    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.config.update("jax_enable_preemption_service", False)  # it would swallow SIGTERM
    jax.config.update("jax_enable_recoverability", True)  # `Peers` ends a process, in plainer words
    with quiet():
        jax.distributed.initialize(
            machines.coordinator,
            machines.processes,
            machines.process,
            cluster_detection_method="deactivate",
            coordinator_bind_address=machines.coordinator,  # and not every network of the machine
            shutdown_timeout_seconds=_LEAVING,
        )


def _leave() -> None:
    import jax

    with quiet():
        jax.distributed.shutdown()


def agree(peers: Peers, run: Mapping[str, Any]) -> None:
    """Refuse processes that would train different things.

    Args:
        peers: all processes.
        run: what determines the run, as JSON values.

    Raises:
        UsageError: a process has something else; in all of them.
    """
    first, *others = peers.gather_json(dict(run))
    for index, other in enumerate(others, 1):
        if differ := [name for name in first | other if first.get(name) != other.get(name)]:
            which = ", ".join(f"{name} is {other.get(name)!r}, not {first.get(name)!r}" for name in differ)
            raise UsageError(
                f"--process: expected the same options, photos and versions everywhere; in process {index} "
                f"{which}"
            )


def share_of(folder: LabelledFolder, peers: Peers) -> LabelledFolder:
    """Give the people that this process reads and learns from; no one else does.

    The partition is fixed by the list of files: the people with most photos first, each to who has fewest.
    What cannot be used without opening it is told by process 0.

    Raises:
        UsageError: there are fewer people than processes.
    """
    if peers.count == 1:
        return folder
    counts: dict[str, int] = {}
    for sample in folder.samples:
        counts[sample.identity] = counts.get(sample.identity, 0) + 1
    if len(counts) < peers.count:
        raise UsageError(
            f"--processes: expected at most one per person, got {peers.count} for {len(counts)} people in "
            f"{folder.root}"
        )
    load = [0] * peers.count
    owner: dict[str, int] = {}
    for identity in sorted(counts, key=lambda name: (-counts[name], name)):
        owner[identity] = min(range(peers.count), key=load.__getitem__)
        load[owner[identity]] += counts[identity]
    return replace(
        folder,
        samples=tuple(sample for sample in folder.samples if owner[sample.identity] == peers.index),
        rejected=folder.rejected if peers.is_first else (),
    )


def unite(photos: Photos, peers: Peers) -> Photos:
    """Give a process's photos with what all of them are to know: what was rejected, and the digest of all."""
    if peers.count == 1:
        return photos
    told = peers.gather_json(
        {
            "digest": photos.digest,
            "rejected": [[str(entry.path), entry.reason] for entry in photos.rejected],
            "crowded": [[str(path), faces] for path, faces in photos.crowded.items()],
        }
    )
    return replace(
        photos,
        rejected=tuple(Rejected(Path(path), why) for other in told for path, why in other["rejected"]),
        crowded={Path(path): faces for other in told for path, faces in other["crowded"]},
        digest=hashlib.sha256("".join(other["digest"] for other in told).encode()).hexdigest(),
    )


def hand_round(file: Path, peers: Peers) -> None:
    """Give all processes the file that process 0 has here, if it has one."""
    content = peers.first(file.read_bytes() if peers.is_first and file.exists() else b"")
    if content and not peers.is_first:
        file.write_bytes(content)


@contextlib.contextmanager
def distribution(machines: Machines, batch_size: int) -> Iterator[None]:
    """Let what is built in this block live on all devices, and each batch be split among them.

    Raises:
        UsageError: a batch cannot be split evenly.
    """
    if machines.sharing == "no":
        yield
        return
    devices = keras.distribution.list_devices()
    if batch_size % len(devices):
        raise UsageError(
            f"--batch-size: expected a multiple of {len(devices)}, as so many devices share each batch, got "
            f"{batch_size}"
        )
    mesh = keras.distribution.DeviceMesh((len(devices),), ("batch",), devices)
    if machines.sharing == "classes":
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


def padded_classes(people: int, machines: Machines) -> int:
    """Give the number of classes to build: with `--parallel classes` each device takes as many.

    The few that are no one are learned away at once: no photo is ever theirs.
    """
    devices = len(keras.distribution.list_devices()) if machines.sharing == "classes" else 1
    return -(-people // devices) * devices


def padded_means(means: NDArray[np.float32], machines: Machines) -> NDArray[np.float32]:
    """Give class means (classes, dim) and rows for classes that are no one, far from any photo."""
    more = padded_classes(len(means), machines) - len(means)
    far = np.full((more, means.shape[1]), _NO_ONE, np.float32)
    return np.concatenate([means, far])


def own_seed(seed: int, peers: Peers) -> int:
    """Give the seed of this process's batches; that of process 0 is the seed itself."""
    return int(np.random.SeedSequence([seed, peers.index]).generate_state(1)[0]) if peers.index else seed


class SharedBatches(keras.utils.PyDataset):  # type: ignore[misc]
    """This process's part of each global batch; all processes have as many, and all are whole.

    What is left over of an epoch is left to the next one's order.

    Args:
        own: batches of this process's photos, each of its part of a global batch.
        peers: all processes.

    Raises:
        UsageError: the parts cannot be of one size, or their sum cannot be split among the devices.
    """

    def __init__(self, own: Batches, peers: Peers) -> None:
        super().__init__()
        self._own = own
        sizes, last = _photos_in(own, 0), _photos_in(own, len(own) - 1)
        parts = peers.gather_json([sizes, len(own) - (last < sizes)])
        self._steps: int = min(steps for _, steps in parts)
        if len({size for size, _ in parts}) > 1:
            raise UsageError(
                "--batch-size: expected the same number of photos from each process, got "
                f"{', '.join(str(size) for size, _ in parts)}, as one has too few photos or people; take a "
                "smaller batch or fewer processes"
            )
        devices = len(keras.distribution.list_devices())
        if sizes * peers.count % devices:
            raise UsageError(
                f"--batch-size: expected batches that {devices} devices can share evenly, got "
                f"{sizes * peers.count} photos; change it, or add photos if there are fewer than it asks for"
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
