"""A trained trunk to a model folder: weights, compiled extractor, first threshold, record of the run."""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embedder.bundle import MANIFEST, Manifest, Threshold, is_part_name, save_bundle
from embedder.config import FilledConfig
from embedder.errors import UsageError
from embedder.extractor import Extractor
from embedder.training.checkpoint import FILE, REFIT_FILE
from embedder.training.peers import Peers
from embedder.training.photos import Photos
from embedder.training.record import CONFIG, CURVES, TABLE
from embedder.training.shares import Totals

if TYPE_CHECKING:
    from embedder.training.fit import Outcome


def check_model_folder(folder: Path) -> None:
    """Refuse to train into a folder that is something else's.

    Raises:
        UsageError: it is a file, or a folder that is neither empty nor a model's, also one that was begun.
    """
    try:
        names = [path.name for path in folder.iterdir()] if os.path.lexists(folder) else []
    except OSError as error:
        raise UsageError(f"--model: {folder} cannot be written: {error.strerror}") from error
    parts = any(name.startswith(("extractor", "weights")) for name in names)
    if FILE in names or (MANIFEST in names and parts) or all(map(_is_ours, names)):
        return
    raise UsageError(
        f"--model: {folder}: expected a new or empty folder, or a model's, got one with other files; "
        "name another folder"
    )


def _is_ours(name: str) -> bool:
    return (
        name.startswith(".")  # what was being written when a run was killed, and what systems leave behind
        or name in (MANIFEST, FILE, REFIT_FILE, CONFIG, TABLE, CURVES)
        or is_part_name(name)
    )


def save_model(
    model: Path,
    trunk: Any,
    threshold: Threshold | None,
    photos: Photos,
    totals: Totals,
    config: FilledConfig,
    outcome: Outcome,
    peers: Peers,
) -> Manifest | None:
    """Write a model folder; process 0 writes.

    Args:
        model: the folder.
        trunk: computes in float32, on this process alone.
        threshold: the first one.
        photos: of this process.
        totals: what all processes have.
        config: resolved.
        outcome: of training.
        peers: all processes.

    Returns:
        The manifest of what was saved; None from processes above 0.

    Raises:
        EmbedError: the compiled network does not compute what was trained.
    """
    from safetensors.numpy import save

    from embedder.training.compile import check_agreement
    from embedder.training.features import embed_chips

    weights = save({f"{i:04d}": np.ascontiguousarray(w) for i, w in enumerate(trunk.get_weights())})
    extractor = peers.first(_compiled(trunk, config, weights) if peers.is_first else b"")
    manifest = Manifest(
        trunk=config.trunk,
        head=config.head if outcome.kept_epoch else "none",
        input_size=config.input_size,
        crop=config.crop,
        detector=config.detector,
        mirror=config.mirror,
        dim=int(trunk.output_shape[-1]),
        extractor=hashlib.sha256(extractor).hexdigest(),
        weights=hashlib.sha256(weights).hexdigest(),
        threshold=threshold,
        training=_record(photos, totals, config, outcome, peers),
    )
    compiled = Extractor(manifest, extractor)
    some = photos.chips.take(range(0, len(photos.chips), len(photos.chips) // 64 + 1))
    check_agreement(embed_chips(trunk, some, config.mirror), compiled.embed(list(some)))
    if not peers.is_first:
        return None
    save_bundle(model, manifest, extractor, weights)
    return manifest


def versions(backend: str) -> dict[str, str]:
    """Give the versions that a run depends on.

    Args:
        backend: what Keras computes with.
    """
    names = ["keras", "tensorflow", "numpy", "pillow", *(["jax"] if backend == "jax" else [])]
    return {name: version(name) for name in names}


def _compiled(trunk: Any, config: FilledConfig, weights: bytes) -> bytes:
    """TensorFlow converts its own networks; one of another back end is built anew by a process apart."""
    import keras

    if keras.backend.backend() == "tensorflow":
        from embedder.training.compile import compile_trunk

        return compile_trunk(trunk)
    from embedder.training.compile_apart import compile_apart

    return compile_apart(config.trunk, config.input_size, config.trunk_weights, weights)


def _record(
    photos: Photos, totals: Totals, config: FilledConfig, outcome: Outcome, peers: Peers
) -> dict[str, Any]:
    import keras

    backend = keras.backend.backend()
    return {
        "people": totals.people,
        "photos": totals.photos,
        "held_out_people": totals.held_out if config.epochs else 0,
        "photos_digest": photos.digest,
        "config": config.to_dict(),
        "backend": backend,
        "processes": peers.count,
        "versions": versions(backend),
        "best_epoch": outcome.best_epoch,
        "kept_epoch": outcome.kept_epoch,
        "helped": outcome.helped,
        "refitted": outcome.refitted,
        "history": outcome.history,
        "scores": [asdict(entry) for entry in outcome.scores],
    }
