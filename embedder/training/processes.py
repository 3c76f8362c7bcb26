"""Exchange small data between the processes of one training run: gather, broadcast, barrier, who reads whom.

Gradients are exchanged by JAX inside the training step. This module shares everything else: options, lists of
photos, held-out features, the checkpoint of process 0, and why a process stopped. It works before JAX is
initialized, over TCP connections between process 0 and each other process; docs/decisions/015 says why not
over `jax.experimental.multihost_utils`. A process that waits inside JAX cannot be woken, so a thread listens
for the others; when one of them is gone, it ends its own process. Without Keras.
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

_HEADER = struct.Struct(">cQ")  # kind, bytes that follow
_DATA, _STOPPED, _BYE = b"d", b"s", b"b"
_LOST = 1  # exit code: nothing the user's arguments could have prevented
_PARTING = 5.0  # seconds for the others to hear it
_SILENT = (
    30,
    10,
    3,
)  # seconds until a silent process is probed, between probes, and probes until it is given up


class ProcessGroup:
    """This process and the others; all call the same methods in the same order.

    Args:
        index: of this process.
        links: to the others: process 0 is linked with each, the others with process 0 alone.
        say: is reports when another process stops, just before this one does.

    Attributes:
        index: of this process, from 0; process 0 writes the model.
        count: of all processes.
    """

    def __init__(
        self, index: int = 0, links: Sequence[socket.socket] = (), say: Callable[[str], None] | None = None
    ) -> None:
        self.index = index
        self._say, self._links, self._over = say or (lambda line: None), links, False
        self._inbox: list[SimpleQueue[bytes]] = [SimpleQueue() for _ in links]
        self._ears = [
            threading.Thread(target=self._listen, args=(number,), daemon=True) for number in range(len(links))
        ]
        for ear in self._ears:
            ear.start()
        self.count = 1 if not links else len(links) + 1 if index == 0 else 0
        if links:  # only process 0 has counted
            self.count = int(self.first(str(self.count).encode()))

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes checkpoints, the log and the model."""
        return self.index == 0

    def gather(self, own: bytes) -> list[bytes]:
        """Give what each process has given, in the order of their numbers, to all of them."""
        if not self._links:
            return [own]
        if self.index:
            self._send(_DATA, own)
            return [self._inbox[0].get() for _ in range(self.count)]
        every = [own, *(inbox.get() for inbox in self._inbox)]
        for part in every:
            self._send(_DATA, part)
        return every

    def first(self, own: bytes) -> bytes:
        """Give what process 0 has given to all of them."""
        if self._links and self.index:
            return self._inbox[0].get()
        self._send(_DATA, own)
        return own

    def gather_json(self, own: Any) -> list[Any]:
        """Do as `gather` for JSON values."""
        return [json.loads(part) for part in self.gather(json.dumps(own).encode())]

    def first_json(self, own: Any) -> Any:
        """Do as `first` for a JSON value."""
        return json.loads(self.first(json.dumps(own).encode())) if self._links else own

    def gather_rows(self, own: NDArray[Any]) -> NDArray[Any]:
        """Give the rows of all processes, those of process 0 first; rows are of one kind."""
        if not self._links:
            return own
        parts = self.gather(np.ascontiguousarray(own).tobytes())
        return np.concatenate([np.frombuffer(part, own.dtype).reshape(-1, *own.shape[1:]) for part in parts])

    def numbering(self, own: int) -> tuple[int, int]:
        """Number things of all processes: the number of this one's first, and how many there are in all."""
        counts = self.gather_json(own)
        return sum(counts[: self.index]), sum(counts)

    @contextlib.contextmanager
    def until_done(self) -> Iterator[None]:
        """Run a block, and leave it together; if one process fails in it, the others are reports and end."""
        try:
            yield
            self.gather(b"")
            self._send(_BYE, b"")
        except BaseException as error:
            if self._links and not isinstance(error, EmbedError):
                time.sleep(1)  # if it only comes of another's end, the listener says so, and ends this one
            with contextlib.suppress(OSError):
                self._send(_STOPPED, str(error).encode() or type(error).__name__.encode())
            raise
        finally:
            self._over = True
            for link, ear in zip(self._links, self._ears, strict=True):
                with contextlib.suppress(OSError):
                    link.shutdown(socket.SHUT_WR)
                ear.join(_PARTING)
                link.close()

    def _send(self, kind: bytes, data: bytes) -> None:
        for link in self._links:
            link.sendall(_HEADER.pack(kind, len(data)) + data)

    def _listen(self, number: int) -> None:
        who = f"process {number + 1 if self.index == 0 else 0}"
        try:
            with self._links[number].makefile("rb") as stream:
                while len(header := stream.read(_HEADER.size)) == _HEADER.size:
                    kind, size = _HEADER.unpack(header)
                    data = stream.read(size)
                    if kind == _BYE:
                        return
                    if kind == _STOPPED:
                        self._end(f"{who} stopped: {data.decode(errors='replace')}")
                    self._inbox[number].put(data)
            self._end(f"{who} is gone")
        except OSError as error:
            self._end(f"{who} cannot be reached any more: {error.strerror}")

    def _end(self, why: str) -> None:
        if self._over:
            return
        self._say(f"{why}; this process ends too. --resume goes on after the last epoch that was saved")
        if self.index == 0:
            with contextlib.suppress(OSError):
                self._send(_STOPPED, why.encode())
            time.sleep(1)  # they are to hear it before JAX finds process 0 gone, and aborts them
        os._exit(_LOST)  # the main thread may be waiting inside JAX, where no exception reaches it


def connect(
    address: tuple[str, int], processes: int, index: int, patience: float, say: Callable[[str], None]
) -> ProcessGroup:
    """Wait for all processes of a run to come together.

    Args:
        address: of process 0, which listens there.
        processes: how many there are.
        index: of this one.
        patience: seconds to wait for the others.
        say: see `ProcessGroup`.

    Raises:
        UsageError: the address cannot be used, someone did not come in time, or two have one number.
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
            except struct.error:  # a port scanner, or whoever else knocks
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
    """Notice also a machine that was switched off, which closes nothing."""
    link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for name, value in zip(("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT"), _SILENT, strict=True):
        if hasattr(socket, name):  # macOS and Windows name or lack some
            link.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


@dataclass(frozen=True)
class Totals:
    """What all processes of a run have read.

    Attributes:
        people: with usable photos.
        photos: usable ones.
        held_out: people who are not learned from.
    """

    people: int
    photos: int
    held_out: int

    @classmethod
    def of(cls, photos: Photos, split: HeldOutSplit, group: ProcessGroup) -> Totals:
        """Add up what each process has."""
        held_out = len(np.unique(photos.labels[split.held_out]))
        parts = group.gather_json([len(photos.identities), len(photos.labels), held_out])
        return cls(*map(sum, zip(*parts, strict=True)))


def listing(folder: LabelledFolder) -> str:
    """Give a digest of who is in a folder with which files, wherever the folder lies."""
    digest = hashlib.sha256()
    for sample in folder.samples:
        digest.update(repr((sample.identity, sample.path.name)).encode(errors="surrogatepass"))
    return digest.hexdigest()[:16]


def check_same_options(group: ProcessGroup, run: Mapping[str, Any]) -> None:
    """Refuse processes that would train different things.

    Args:
        group: all processes.
        run: what determines the run, as JSON values.

    Raises:
        UsageError: a process has something else; in all of them.
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
    """Give the people that this process reads and learns from; no one else does.

    The partition is fixed by the list of files: the people with most photos first, each to who has fewest.
    What cannot be used without opening it is reports by process 0.

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
    """Give a process's photos with what all of them are to know: what was rejected, and the digest of all."""
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
    """Give all processes the file that process 0 has here, if it has one."""
    content = group.first(read_file(file) if group.is_first and file.exists() else b"")
    if content and not group.is_first:
        file.write_bytes(content)


def numbered(labels: NDArray[np.int32], people: int, group: ProcessGroup) -> tuple[NDArray[np.int32], int]:
    """Number the people of all processes, those of process 0 first.

    Args:
        labels: (n,) this process's, each from 0 to `people` - 1.
        people: of this process.
        group: all processes.

    Returns:
        The same labels among all people, and how many these are.
    """
    first, every = group.numbering(people)
    return labels + np.int32(first), every


def own_seed(seed: int, group: ProcessGroup) -> int:
    """Give the seed of this process's batches; that of process 0 is the seed itself."""
    return int(np.random.SeedSequence([seed, group.index]).generate_state(1)[0]) if group.index else seed
