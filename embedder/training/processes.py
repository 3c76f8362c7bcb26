"""Exchange small data between the processes of a training run, by gather and broadcast.

Gradients are exchanged by JAX inside the training step. This module shares everything else: options, lists of
photos, held-out features, the checkpoint of process 0, and why a process stopped. It works before JAX is
initialized, over TCP connections between process 0 and each other process; docs/decisions/015 says why not
over `jax.experimental.multihost_utils`. A process that waits inside JAX cannot be interrupted, so a thread
reads the messages of others; when another process is gone, it ends its own. Keras is not needed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedder._internal.files import read_file
from embedder._internal.wording import count
from embedder.copies import Copy
from embedder.errors import EmbedError, UsageError
from embedder.folders import LabelledFolder, Rejected
from embedder.training.data.photos import HeldOutSplit, Photos

_HEADER = struct.Struct(">cQ")  # kind of message, number of bytes behind the header
_DATA, _STOPPED, _BYE = b"d", b"s", b"b"
_LOST = 1  # exit code, as other arguments would not have helped
_PARTING = 5.0  # seconds to wait for the last messages of the others
_SILENT = (
    30,
    10,
    3,
)  # seconds until a silent process is probed, between probes, and probes until it is given up


class ProcessGroup:
    """Exchanges data with the other processes; all call the same methods in the same order.

    Args:
        index: number of this process, from 0.
        links: connections: of process 0 to each other process, of the others to process 0 alone.
        say: function that gets a message when another process stops, just before this one does.

    Attributes:
        index: number of this process, from 0; process 0 writes the model.
        count: number of processes.
    """

    def __init__(
        self, index: int = 0, links: Sequence[socket.socket] = (), say: Callable[[str], None] | None = None
    ) -> None:
        self.index = index
        self._say, self._links, self._over = say or (lambda line: None), links, False
        self._inbox: list[SimpleQueue[bytes]] = [SimpleQueue() for _ in links]
        self._listeners = [
            threading.Thread(target=self._listen, args=(number,), daemon=True) for number in range(len(links))
        ]
        for listener in self._listeners:
            listener.start()
        self.count = 1 if not links else len(links) + 1 if index == 0 else 0
        if links:  # the others get the number from process 0
            self.count = int(self.first(str(self.count).encode()))

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes checkpoints, the log and the model."""
        return self.index == 0

    def gather(self, own: bytes) -> list[bytes]:
        """Return the bytes of all processes, in the order of their numbers."""
        if not self._links:
            return [own]
        if self.index:
            self._send(_DATA, own)
            return [self._inbox[0].get() for _ in range(self.count)]
        parts = [own, *(inbox.get() for inbox in self._inbox)]
        for part in parts:
            self._send(_DATA, part)
        return parts

    def first(self, own: bytes) -> bytes:
        """Return the bytes of process 0."""
        if self._links and self.index:
            return self._inbox[0].get()
        self._send(_DATA, own)
        return own

    def gather_json(self, own: Any) -> list[Any]:
        """Return the JSON values of all processes, in the order of their numbers."""
        return [json.loads(part) for part in self.gather(json.dumps(own).encode())]

    def first_json(self, own: Any) -> Any:
        """Return the JSON value of process 0."""
        return json.loads(self.first(json.dumps(own).encode())) if self._links else own

    def gather_rows(self, own: NDArray[Any]) -> NDArray[Any]:
        """Concatenate the rows (n, ...) of all processes, which have one dtype and row shape."""
        if not self._links:
            return own
        parts = self.gather(np.ascontiguousarray(own).tobytes())
        return np.concatenate([np.frombuffer(part, own.dtype).reshape(-1, *own.shape[1:]) for part in parts])

    def numbering(self, own: int) -> tuple[int, int]:
        """Return the sum of `own` over the processes before this one, and over all of them."""
        counts = self.gather_json(own)
        return sum(counts[: self.index]), sum(counts)

    @contextlib.contextmanager
    def until_done(self) -> Iterator[None]:
        """Run a block in all processes; if it fails in one, the others are informed and end."""
        try:
            yield
            self.gather(b"")
            self._send(_BYE, b"")
        except BaseException as error:
            if self._links and not isinstance(error, EmbedError):
                time.sleep(1)  # if another process's end caused the error, the listener ends this one first
            with contextlib.suppress(OSError):
                self._send(_STOPPED, str(error).encode() or type(error).__name__.encode())
            raise
        finally:
            self._over = True
            for link, listener in zip(self._links, self._listeners, strict=True):
                with contextlib.suppress(OSError):
                    link.shutdown(socket.SHUT_WR)
                listener.join(_PARTING)
                link.close()

    def _send(self, kind: bytes, data: bytes) -> None:
        for link in self._links:
            link.sendall(_HEADER.pack(kind, len(data)) + data)

    def _listen(self, number: int) -> None:
        name = f"process {number + 1 if self.index == 0 else 0}"
        try:
            with self._links[number].makefile("rb") as stream:
                while len(header := stream.read(_HEADER.size)) == _HEADER.size:
                    kind, size = _HEADER.unpack(header)
                    data = stream.read(size)
                    if kind == _BYE:
                        return
                    if kind == _STOPPED:
                        self._end(f"{name} stopped: {data.decode(errors='replace')}")
                    self._inbox[number].put(data)
            self._end(f"{name} is gone")
        except OSError as error:
            self._end(f"{name} cannot be reached any more: {error.strerror}")

    def _end(self, why: str) -> None:
        if self._over:
            return
        self._say(f"{why}; this process ends too. --resume goes on after the last epoch that was saved")
        if self.index == 0:
            with contextlib.suppress(OSError):
                self._send(_STOPPED, why.encode())
            time.sleep(1)  # for the message to arrive before JAX aborts the others, as process 0 is gone
        os._exit(_LOST)  # the main thread may wait inside JAX, where exceptions do not reach it


def connect(
    address: tuple[str, int], processes: int, index: int, patience: float, say: Callable[[str], None]
) -> ProcessGroup:
    """Connect all processes of a run, and wait for each.

    Args:
        address: host and port on which process 0 listens.
        processes: number of processes.
        index: number of this process.
        patience: seconds to wait for the others.
        say: function that gets a message when another process stops.

    Raises:
        UsageError: the address cannot be used, a process did not connect in time, or two have one number.
    """
    where = f"{address[0]}:{address[1]}"
    if index:
        links = [_connect(address, patience, where)]
        links[0].sendall(_HEADER.pack(_DATA, index))
    else:
        links = _receive(address, processes, patience, where)
    for link in links:
        _keep_alive(link)
    return ProcessGroup(index, links, say)


def _connect(address: tuple[str, int], patience: float, where: str) -> socket.socket:
    deadline = time.monotonic() + patience
    while True:
        try:
            link = socket.create_connection(address, timeout=max(0.1, deadline - time.monotonic()))
            link.settimeout(None)
            return link
        except socket.gaierror as error:
            raise UsageError(
                f"--coordinator: expected HOST:PORT of process 0, got {where}, which is not known here: "
                f"{error.strerror}"
            ) from error
        except OSError as error:
            if time.monotonic() >= deadline:
                raise UsageError(
                    f"--coordinator: expected process 0 at {where}, and no one answered for {patience:g} s "
                    f"({error.strerror or error}); start it there with --process-id 0, and let its firewall "
                    "pass the port"
                ) from error
            time.sleep(0.2)


def _receive(address: tuple[str, int], processes: int, patience: float, where: str) -> list[socket.socket]:
    deadline = time.monotonic() + patience
    links: dict[int, socket.socket] = {}
    try:
        listener = socket.create_server(address, backlog=processes)
    except OSError as error:
        raise UsageError(
            f"--coordinator: expected an address of this machine and a free port, got {where}: "
            f"{error.strerror or error}"
        ) from error
    with listener:
        while len(links) < processes - 1:
            listener.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                link, _ = listener.accept()
                link.settimeout(max(0.01, deadline - time.monotonic()))
                kind, index = _HEADER.unpack(link.recv(_HEADER.size, socket.MSG_WAITALL))
            except TimeoutError as error:
                missing = ", ".join(str(i) for i in range(1, processes) if i not in links)
                raise UsageError(
                    f"--num-processes: expected {processes} at {where} within {patience:g} s; missing: "
                    f"process {missing}. Start each with its own --process-id and the same --coordinator"
                ) from error
            except struct.error:  # a connection of another program, such as a port scanner
                continue
            if kind != _DATA or not 0 < index < processes or index in links:
                raise UsageError(
                    f"--process-id: expected each of 0 to {processes - 1} once, got {index} "
                    f"{'twice' if index in links else ''}".rstrip()
                )
            link.settimeout(None)
            links[index] = link
    return [links[index] for index in range(1, processes)]


def _keep_alive(link: socket.socket) -> None:
    """Enable keep-alive probes: a machine that was switched off closes no connection."""
    link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for name, value in zip(("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT"), _SILENT, strict=True):
        if hasattr(socket, name):  # macOS and Windows name or lack some
            link.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


@dataclass(frozen=True)
class Totals:
    """Holds numbers of people and photos of all processes of a run.

    Attributes:
        people: number of people with usable photos.
        photos: number of usable photos.
        held_out: number of held-out people.
    """

    people: int
    photos: int
    held_out: int

    @classmethod
    def of(cls, photos: Photos, split: HeldOutSplit, group: ProcessGroup) -> Totals:
        """Sum the numbers of all processes."""
        held_out = len(np.unique(photos.labels[split.held_out]))
        parts = group.gather_json([len(photos.identities), len(photos.labels), held_out])
        return cls(*map(sum, zip(*parts, strict=True)))


def listing(folder: LabelledFolder) -> str:
    """Return a digest of the people and file names of a folder, whatever its path."""
    digest = hashlib.sha256()
    for sample in folder.samples:
        digest.update(repr((sample.identity, sample.path.name)).encode(errors="surrogatepass"))
    return digest.hexdigest()[:16]


def check_same_options(group: ProcessGroup, run: Mapping[str, Any]) -> None:
    """Check that all processes have the same options, photos and versions.

    Args:
        group: processes of the run.
        run: options, digests and versions that determine the run, as JSON values.

    Raises:
        UsageError: a process has other values; raised in all of them.
    """
    first, *others = group.gather_json(dict(run))
    for index, other in enumerate(others, 1):
        if differ := [name for name in first | other if first.get(name) != other.get(name)]:
            which = ", ".join(f"{name} is {other.get(name)!r}, not {first.get(name)!r}" for name in differ)
            raise UsageError(
                f"--process-id: expected the same options, photos and versions everywhere; in process "
                f"{index} {which}"
            )


def people_of_this_process(folder: LabelledFolder, group: ProcessGroup) -> LabelledFolder:
    """Return the part of a folder that this process reads: each person is in one process.

    The list of files determines the parts: people in order of falling number of photos, each to the process
    with the fewest so far. Entries that are rejected without being opened are in the part of process 0.

    Raises:
        UsageError: there are fewer people than processes.
    """
    if group.count == 1:
        return folder
    counts: dict[str, int] = {}
    for sample in folder.samples:
        counts[sample.identity] = counts.get(sample.identity, 0) + 1
    if len(counts) < group.count:
        raise UsageError(
            f"--num-processes: expected at most one per person, got {group.count} for "
            f"{count(len(counts), 'person')} in {folder.root}"
        )
    load = [0] * group.count
    owner: dict[str, int] = {}
    for identity in sorted(counts, key=lambda name: (-counts[name], name)):
        owner[identity] = min(range(group.count), key=load.__getitem__)
        load[owner[identity]] += counts[identity]
    return replace(
        folder,
        samples=tuple(sample for sample in folder.samples if owner[sample.identity] == group.index),
        rejected=folder.rejected if group.is_first else (),
    )


def merge_photo_reports(photos: Photos, group: ProcessGroup) -> Photos:
    """Return photos with the rejected entries, notes and digests of all processes."""
    if group.count == 1:
        return photos
    reports = group.gather_json(
        {
            "digest": photos.digest,
            "people": dict(photos.people),
            "rejected": [[str(entry.path), entry.reason] for entry in photos.rejected],
            "crowded": [[str(path), faces] for path, faces in photos.crowded.items()],
            "copies": [
                [str(copy.path), copy.identity, str(copy.first), copy.owner] for copy in photos.copies
            ],
        }
    )
    return replace(
        photos,
        rejected=tuple(Rejected(Path(path), why) for other in reports for path, why in other["rejected"]),
        crowded={Path(path): faces for other in reports for path, faces in other["crowded"]},
        copies=tuple(
            Copy(Path(path), identity, Path(first), owner)
            for other in reports
            for path, identity, first, owner in other["copies"]
        ),
        people={name: digest for other in reports for name, digest in other["people"].items()},
        digest=hashlib.sha256("".join(other["digest"] for other in reports).encode()).hexdigest(),
    )


def broadcast_file(file: Path, group: ProcessGroup) -> None:
    """Copy a file of process 0, if there is one, to the other processes."""
    content = group.first(read_file(file) if group.is_first and file.exists() else b"")
    if content and not group.is_first:
        file.write_bytes(content)


def numbered(labels: NDArray[np.int32], people: int, group: ProcessGroup) -> tuple[NDArray[np.int32], int]:
    """Number the people of all processes, those of process 0 first.

    Args:
        labels: (n,) int32 labels of this process, 0 to `people` - 1.
        people: number of people of this process.
        group: processes of the run.

    Returns:
        (n,) int32 labels among the people of all processes, and the number of these.
    """
    first, total = group.numbering(people)
    return labels + np.int32(first), total


def own_seed(seed: int, group: ProcessGroup) -> int:
    """Compute the seed of this process's batches; in process 0 it is the seed of the run."""
    return int(np.random.SeedSequence([seed, group.index]).generate_state(1)[0]) if group.index else seed
