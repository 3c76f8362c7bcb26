"""A training run from folder to model folder, in the order it happens."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embedder.bundle import Manifest, save_bundle
from embedder.config import TrainConfig
from embedder.errors import UsageError
from embedder.extractor import Extractor
from embedder.faces.crops import Cropper, load_cropper
from embedder.folders import LabelledFolder, Rejected, scan_folder
from embedder.heads.combinations import check_combination
from embedder.preview import save_preview
from embedder.progress import Progress
from embedder.training.cache import ChipCache, chip_recipe
from embedder.training.photos import Photos, Split, read_photos, split_identities, with_clean_chips
from embedder.training.record import CURVES, table, write_record
from embedder.trunks import Trunk, find_trunk

if TYPE_CHECKING:
    from embedder.training.fit import Outcome


@dataclass(frozen=True)
class TrainResult:
    """What a run made.

    Attributes:
        manifest: of the model that was saved.
        rejected: photos that could not be used.
        crowded: photos that show more than one face, and how many; the principal one was used.
        interrupted: whether Ctrl-C ended it; `--resume` goes on.
    """

    manifest: Manifest
    rejected: tuple[Rejected, ...]
    crowded: dict[Path, int]
    interrupted: bool


def train(
    folder: str | Path,
    model: str | Path,
    config: TrainConfig | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    preview: str | Path | None = None,
    tensorboard: str | Path | None = None,
    keep_chips: bool = True,
) -> TrainResult:
    """Train on a labelled folder and write a model folder.

    The same photos, options and versions give the same weights on a CPU; a GPU's sums may differ in their
    last digits.

    Args:
        folder: FOLDER/<identity>/<photos>.
        model: where the model goes; one that is there is replaced when the new one is complete.
        config: the run; the defaults suit a small folder of faces.
        resume: go on with the unfinished run in `model`.
        progress: hears what happens.
        preview: a PNG file to write, before training, that shows the chips it will see.
        tensorboard: a folder for logs that TensorBoard shows.
        keep_chips: use the cache of chips that earlier runs made, and add to it.

    Raises:
        FolderError: the folder lacks people or photos.
        UsageError: an option cannot be used, there is nothing to resume, or the model cannot be written.
        MissingPackageError: the trunk's weights are not there.
        DivergedError: the losses left the numbers.
        KeyboardInterrupt: Ctrl-C before the first epoch ended.
    """
    progress = progress or Progress()
    config, trunk_facts = _resolve(config or TrainConfig())
    if resume and not config.epochs:
        raise UsageError("--resume: with --epochs 0 there is no training to go on with")
    photos = _read(scan_folder(folder), config, trunk_facts, keep_chips, progress)
    if preview is not None:
        save_preview(preview, photos.tiles(Path(folder)))
        progress.say(f"Wrote {preview}")
    split = _split(photos, config, folder)
    progress.say(_in_words(photos, split))

    from embedder.quiet import import_keras

    import_keras()
    import keras

    from embedder.training import fit
    from embedder.training.callbacks import tensorboard_log
    from embedder.training.checkpoint import Checkpoints
    from embedder.training.precision import in_float32, precision

    extra = [tensorboard_log(tensorboard)] if tensorboard else []
    keras.utils.set_random_seed(config.seed)
    build = partial(trunk_facts.build, config.input_size, config.trunk_weights)
    with precision(config.precision):
        trunk = build()
    model = _made(model)
    checkpoints = Checkpoints(model, {**asdict(config), "photos": photos.digest, **_versions()})
    if checkpoints.exists() and not resume:
        progress.say(f"{model} holds an unfinished run, which is now replaced; --resume would go on with it")
    outcome = fit.Outcome()
    try:
        if config.epochs:
            with precision(config.precision):
                outcome = fit.fit_trunk(
                    trunk, photos, split, config, trunk_facts.pretrained, checkpoints, resume, progress, extra
                )
        trunk = in_float32(trunk, build)
        progress.say("Compiling the extractor")
        manifest = _save(model, trunk, photos, split, config, outcome)
        rows = table(outcome.history, outcome.scores)
        if not write_record(model, config, rows, config.target_fpir) and rows:
            progress.say(f"No {CURVES}: it needs matplotlib, which comes with embedder-enroll[report]")
        if not outcome.interrupted:
            checkpoints.drop()
    except OSError as error:
        raise UsageError(f"--model: {model} cannot be written: {error}") from error
    return TrainResult(manifest, photos.rejected, photos.crowded, outcome.interrupted)


def _resolve(config: TrainConfig) -> tuple[TrainConfig, Trunk]:
    """Fill in what depends on the trunk, and refuse options before any work is done."""
    trunk = find_trunk(config.trunk)
    check_combination(config)
    return replace(
        config.filled(trunk.schedule),
        input_size=config.input_size or trunk.input_size,
        crop=config.crop or trunk.crop,
    ), trunk


def _read(
    folder: LabelledFolder, config: TrainConfig, trunk: Trunk, keep_chips: bool, progress: Progress
) -> Photos:
    assert config.input_size is not None
    assert config.crop is not None

    def cropping(crop: str) -> tuple[Cropper, ChipCache | None]:
        wanted = crop, config.input_size or 0, config.finding
        return load_cropper(*wanted), ChipCache(chip_recipe(*wanted)) if keep_chips else None

    cropper, cache = cropping(config.crop)
    photos = read_photos(folder, cropper, progress, cache)
    if config.rehearsal and config.crop == "whole" and trunk.crop == "face":
        cropper, cache = cropping("face")
        return with_clean_chips(photos, cropper, progress, cache)
    return photos


def _made(model: str | Path) -> Path:
    """Make the model folder before the long work, not after it."""
    try:
        Path(model).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--model: the folder {model} cannot be made: {error.strerror}") from error
    return Path(model)


def _split(photos: Photos, config: TrainConfig, folder: str | Path) -> Split:
    if config.epochs == 0:  # nothing is learned, so everyone is unseen
        return Split(np.empty(0, np.intp), np.arange(len(photos.labels)))
    return split_identities(photos.labels, config.hold_out, config.seed, folder)


def _in_words(photos: Photos, split: Split) -> str:
    people = len(photos.identities)
    held_out = len(np.unique(photos.labels[split.held_out]))
    if held_out == people:
        return f"{people} people, {len(photos.labels)} photos; the trunk is kept as it is"
    return (
        f"{people} people, {len(photos.labels)} photos: learning from {people - held_out}, "
        f"{held_out} held out to see whether it helps people it has not met"
    )


def _save(
    model: Path, trunk: Any, photos: Photos, split: Split, config: TrainConfig, outcome: Outcome
) -> Manifest:
    from safetensors.numpy import save

    from embedder.training.compile import check_agreement, compile_trunk
    from embedder.training.features import embed_chips
    from embedder.training.held_out import first_threshold

    weights = save({f"{i:04d}": np.ascontiguousarray(w) for i, w in enumerate(trunk.get_weights())})
    extractor = compile_trunk(trunk)
    manifest = Manifest(
        trunk=config.trunk,
        head=config.head if outcome.kept_epoch else "none",
        input_size=config.input_size or 0,
        crop=config.crop or "whole",
        detector=config.detector,
        mirror=config.mirror,
        dim=int(trunk.output_shape[-1]),
        extractor=hashlib.sha256(extractor).hexdigest(),
        weights=hashlib.sha256(weights).hexdigest(),
        threshold=None,
        training=_record(photos, split, config, outcome),
    )
    compiled = Extractor(manifest, extractor)
    some = photos.chips.take(range(0, len(photos.chips), len(photos.chips) // 64 + 1))
    check_agreement(embed_chips(trunk, some, config.mirror), compiled.embed(list(some)))
    # A trunk that was not trained has met none of the photos, so all of them speak for its threshold.
    unseen = split.held_out if outcome.kept_epoch else np.arange(len(photos.labels))
    vectors = photos.chips.select(unseen).map(lambda block: compiled.embed(list(block)))
    threshold = first_threshold(
        vectors, photos.labels[unseen], config.target_fpir, gallery=len(photos.identities)
    )
    manifest = replace(manifest, threshold=threshold)
    save_bundle(model, manifest, extractor, weights)
    return manifest


def _record(photos: Photos, split: Split, config: TrainConfig, outcome: Outcome) -> dict[str, Any]:
    scores = [asdict(entry) for entry in outcome.scores]
    return {
        "people": len(photos.identities),
        "photos": len(photos.labels),
        "held_out_people": len(np.unique(photos.labels[split.held_out])) if config.epochs else 0,
        "photos_digest": photos.digest,
        "config": asdict(config),
        "versions": _versions(),
        "best_epoch": outcome.best_epoch,
        "kept_epoch": outcome.kept_epoch,
        "helped": outcome.helped,
        "history": outcome.history,
        "scores": scores,
    }


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("keras", "tensorflow", "numpy", "pillow")}
