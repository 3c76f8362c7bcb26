"""Write the files of a training run: the model folder, its log and its curves.

A model folder has the weights of the trunk, the compiled extractor, strangers' distances and a record of the
run (`save_model`), and, for the user, `train.toml`, `training.csv` and `training.png` (`write_record`). The
tiles of a preview of the crops are made before training (`preview_tiles`).
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embedder._internal.files import write_atomic
from embedder.config import FilledConfig, TrainConfig
from embedder.config.toml import to_toml
from embedder.contact_sheet import Tile, refused_tiles
from embedder.errors import UsageError
from embedder.extractor import Extractor
from embedder.faces.crop import Cropping, in_short, several_faces_note
from embedder.model_folder import MANIFEST, Manifest, is_part_name, save_bundle
from embedder.training.checkpoint import FILE, REFIT_FILE
from embedder.training.data.photos import Photos
from embedder.training.processes import ProcessGroup, Totals

if TYPE_CHECKING:
    from embedder.strangers import StrangerDistances
    from embedder.training.heldout import Score
    from embedder.training.outcome import FitResult

CONFIG, TABLE, CURVES = "train.toml", "training.csv", "training.png"
_SCORE = ("tpir", "rank1", "separation")


def preview_tiles(photos: Photos, root: Path) -> Iterator[Tile]:
    """Make the tiles of a preview: all crops, and the rejected entries with their reasons.

    Args:
        photos: photos of this process.
        root: path of the labelled folder.
    """
    entries: list[tuple[str, str, int | Tile]] = [
        (photos.identities[label], path.name, row)
        for row, (label, path) in enumerate(zip(photos.labels, photos.paths, strict=True))
    ]
    entries += [(tile.identity, tile.caption, tile) for tile in refused_tiles(photos.rejected, root)]
    for identity, caption, entry in sorted(entries, key=lambda entry: entry[:2]):
        if isinstance(entry, Tile):
            yield entry
        else:
            note = several_faces_note(photos.crowded.get(photos.paths[entry], 1))
            yield Tile(identity, photos.crops.take([entry])[0], caption, in_short(note))


def table(history: Sequence[Mapping[str, float]], scores: Sequence[Score]) -> list[dict[str, float]]:
    """Join the log of each epoch with the score of the held-out people after it.

    Args:
        history: logs by epoch; the first is that of epoch 1.
        scores: scores by epoch; the first is that before training. Empty without held-out people.

    Returns:
        A row for each epoch, with `epoch` first; one for epoch 0 only if there are scores.
    """
    rows = [{"epoch": 0.0}] if scores else []
    rows += [{"epoch": float(epoch), **log} for epoch, log in enumerate(history, 1)]
    for row, score in zip(rows, scores, strict=False):
        row |= {name: getattr(score, name) for name in _SCORE}
    return rows


def write_record(folder: Path, config: TrainConfig, rows: Sequence[Mapping[str, float]], fpir: float) -> bool:
    """Write options, log and curves of a run into its model folder.

    Args:
        folder: path of the model folder.
        config: options of the run; `embed train --config train.toml` repeats it.
        rows: rows of `table`.
        fpir: false positive identification rate (FPIR) at which the true positive identification rate (TPIR)
            was measured, 0 to 1.

    Returns:
        Whether the curves were drawn; without matplotlib, or with less than two epochs, they are not.

    Raises:
        OSError: a file cannot be written.
    """
    write_atomic(folder / CONFIG, to_toml(config).encode())
    write_table(folder, rows)
    if len(rows) < 2 or (picture := _draw(rows, fpir)) is None:
        (folder / CURVES).unlink(missing_ok=True)  # curves of an earlier run
        return False
    write_atomic(folder / CURVES, picture)
    return True


def write_table(folder: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Write the log as CSV, with a column for each number; missing numbers are left empty.

    Raises:
        OSError: the file cannot be written.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, "epoch": int(row["epoch"])} for row in rows)
    write_atomic(folder / TABLE, text.getvalue().encode())


def _draw(rows: Sequence[Mapping[str, float]], fpir: float) -> bytes | None:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return None
    losses = [name for name in rows[-1] if name == "loss" or name.endswith("_loss")]
    shares = {"accuracy": "accuracy, training", "tpir": f"TPIR at FPIR {fpir:g}, held out"} | {
        "rank1": "rank-1, held out"
    }
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name in losses:
        _line(left, rows, name, name.replace("_", " "))
    left.set(title="Losses", xlabel="epoch", yscale="log")
    for name, label in shares.items():
        _line(right, rows, name, label)
    right.set(title="Shares", xlabel="epoch", ylim=(0, 1.02))
    for axes in (left, right):
        if axes.lines:
            axes.legend(frameon=False)
        axes.grid(alpha=0.25)
        axes.xaxis.get_major_locator().set_params(integer=True)
    picture = io.BytesIO()
    FigureCanvasAgg(figure).print_png(picture)
    return picture.getvalue()


def _line(axes: Any, rows: Sequence[Mapping[str, float]], name: str, label: str) -> None:
    points = [(row["epoch"], row[name]) for row in rows if name in row]
    if points:
        axes.plot(*zip(*points, strict=True), label=label, marker="." if len(points) < 40 else None)


def check_model_folder(folder: Path) -> None:
    """Check that a folder is new, empty, a model folder, or that of an unfinished run.

    Raises:
        UsageError: it is none of these.
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
        name.startswith(".")  # temporary files of a killed run, and files that systems create
        or name in (MANIFEST, FILE, REFIT_FILE, CONFIG, TABLE, CURVES)
        or is_part_name(name)
    )


def save_model(
    model: Path,
    trunk: Any,
    strangers: StrangerDistances | None,
    photos: Photos,
    totals: Totals,
    config: FilledConfig,
    cropping: Cropping,
    outcome: FitResult,
    group: ProcessGroup,
) -> Manifest | None:
    """Compile the extractor, check it, and write the model folder in process 0.

    Args:
        model: path of the model folder.
        trunk: trained trunk that computes in float32, on this process alone.
        strangers: distribution of strangers' distances; None without held-out people.
        photos: photos of this process.
        totals: numbers of people and photos of all processes.
        config: options of the run.
        cropping: settings with which photos were cropped.
        outcome: result of training.
        group: processes of the run.

    Returns:
        Manifest of the model; None in processes above 0.

    Raises:
        EmbedError: the vectors of the compiled network differ from those of the trunk.
    """
    from safetensors.numpy import save

    from embedder.export.litert import check_agreement
    from embedder.export.saving import compile_saved
    from embedder.export.yunet import detector_record
    from embedder.trunks import embed_crops, find_trunk

    weights_as = find_trunk(config.trunk).weights_as
    weights = save({f"{i:04d}": np.ascontiguousarray(w) for i, w in enumerate(trunk.get_weights())})
    extractor = group.first(
        compile_saved(trunk, config.trunk, config.input_size, weights, weights_as) if group.is_first else b""
    )
    manifest = Manifest(
        trunk=config.trunk,
        head=config.head if outcome.kept_epoch else "none",
        input_size=config.input_size,
        crop=config.crop,
        landmarks=cropping.landmarks,
        detector=detector_record(cropping.network, cropping.finding) if cropping.network else None,
        mirror=config.mirror,
        dim=int(trunk.output_shape[-1]),
        extractor=hashlib.sha256(extractor).hexdigest(),
        weights=hashlib.sha256(weights).hexdigest(),
        strangers=strangers,
        training=_record(photos, totals, config, outcome, group),
        weights_as=weights_as,
    )
    compiled = Extractor(manifest, extractor, cropping.network)
    sample = photos.crops.take(range(0, len(photos.crops), len(photos.crops) // 64 + 1))
    check_agreement(embed_crops(trunk, sample, config.mirror), compiled.embed(list(sample)), weights_as)
    if not group.is_first:
        return None
    save_bundle(model, manifest, extractor, weights, cropping.network)
    return manifest


def versions(backend: str) -> dict[str, str]:
    """Return the versions of the packages that determine a run, by name.

    Args:
        backend: name of the Keras back end.
    """
    names = ["keras", "tensorflow", "numpy", "pillow", *(["jax"] if backend == "jax" else [])]
    return {name: version(name) for name in names}


def _record(
    photos: Photos, totals: Totals, config: FilledConfig, outcome: FitResult, group: ProcessGroup
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
        "processes": group.count,
        "versions": versions(backend),
        "best_epoch": outcome.best_epoch,
        "kept_epoch": outcome.kept_epoch,
        "helped": outcome.helped,
        "refitted": outcome.refitted,
        "share": outcome.share,
        "views": [asdict(entry) for entry in outcome.balances],
        "history": outcome.history,
        "scores": [asdict(entry) for entry in outcome.scores],
    }
