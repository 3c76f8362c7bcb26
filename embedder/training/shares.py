"""Who of the processes of a run reads whom, and what they have to agree on; without Keras."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedder._internal.wording import count
from embedder.errors import UsageError
from embedder.folders import LabelledFolder, Rejected
from embedder.training.data.photos import Photos, Split
from embedder.training.processes import Peers

# Heads whose weights per person `distributed._BY_CLASS` knows.
_BY_CLASS = ("softmax", "center", "center-embedding")


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
    def of(cls, photos: Photos, split: Split, peers: Peers) -> Totals:
        """Add up what each process has."""
        held_out = len(np.unique(photos.labels[split.held_out]))
        parts = peers.gather_json([len(photos.identities), len(photos.labels), held_out])
        return cls(*map(sum, zip(*parts, strict=True)))


def listing(folder: LabelledFolder) -> str:
    """Give a digest of who is in a folder with which files, wherever the folder lies."""
    digest = hashlib.sha256()
    for sample in folder.samples:
        digest.update(repr((sample.identity, sample.path.name)).encode(errors="surrogatepass"))
    return digest.hexdigest()[:16]


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
            f"--processes: expected at most one per person, got {peers.count} for "
            f"{count(len(counts), 'person')} in {folder.root}"
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


def numbered(labels: NDArray[np.int32], people: int, peers: Peers) -> tuple[NDArray[np.int32], int]:
    """Number the people of all processes, those of process 0 first.

    Args:
        labels: (n,) this process's, each from 0 to `people` - 1.
        people: of this process.
        peers: all processes.

    Returns:
        The same labels among all people, and how many these are.
    """
    first, every = peers.numbering(people)
    return labels + np.int32(first), every


def own_seed(seed: int, peers: Peers) -> int:
    """Give the seed of this process's batches; that of process 0 is the seed itself."""
    return int(np.random.SeedSequence([seed, peers.index]).generate_state(1)[0]) if peers.index else seed
