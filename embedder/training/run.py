"""Run a training from labelled folder to model folder, step by step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from embedder._internal.files import make_folder
from embedder._internal.outputs import Inputs
from embedder._internal.runtime import Progress
from embedder._internal.text import missing_advice, missing_letters
from embedder._internal.wording import count
from embedder.backend import load_backend
from embedder.built_in import load_built_in
from embedder.config import FilledConfig, TrainConfig
from embedder.config.devices import DeviceConfig
from embedder.contact_sheet import check_preview, save_preview
from embedder.copies import Copy
from embedder.errors import UsageError
from embedder.faces.crop import Cropper, Cropping, load_cropper
from embedder.folders import LabelledFolder, Rejected, scan_folder
from embedder.model_folder import Manifest
from embedder.names import name_notes
from embedder.training.artifacts import (
    CURVES,
    check_model_folder,
    preview_tiles,
    save_model,
    table,
    versions,
    write_record,
)
from embedder.training.checkpoint import FILE, PEOPLE, REFIT_FILE, Checkpoints
from embedder.training.data.crop_store import CropCache, crop_recipe
from embedder.training.data.photos import (
    HeldOutSplit,
    Photos,
    read_photos,
    split_identities,
    with_clean_crops,
)
from embedder.training.processes import (
    ProcessGroup,
    Totals,
    broadcast_file,
    check_same_options,
    listing,
    merge_photo_reports,
    people_of_this_process,
)
from embedder.training.validation import check_combination, check_sharing
from embedder.trunks import Trunk, find_trunk

if TYPE_CHECKING:
    import keras

    from embedder.training.distributed import TrainingDevices
    from embedder.training.outcome import FitResult


@dataclass(frozen=True)
class TrainResult:
    """Holds the result of a training run.

    Attributes:
        manifest: manifest of the saved model; None in processes above 0, which save none.
        rejected: entries of the folder that could not be used, with reasons.
        crowded: number of faces by path, of photos with more than one; the main face was used.
        interrupted: whether Ctrl-C stopped the run; `--resume` continues it.
        copies: photos with the same picture as an earlier photo.

    Example:
        >>> result = TrainResult(None, rejected=(), crowded={}, interrupted=True)
        >>> result.interrupted
        True
    """

    manifest: Manifest | None
    rejected: tuple[Rejected, ...]
    crowded: dict[Path, int]
    interrupted: bool
    copies: tuple[Copy, ...] = ()


def train(
    folder: str | Path,
    model: str | Path,
    config: TrainConfig | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    preview: str | Path | None = None,
    tensorboard: str | Path | None = None,
    keep_crops: bool = True,
    devices: DeviceConfig | None = None,
    force: bool = False,
) -> TrainResult:
    """Train a trunk on a labelled folder, and write a model folder.

    The same photos, options and versions give the same weights on a CPU; on a GPU, sums may differ in their
    last digits.

    Args:
        folder: path of the labelled folder, FOLDER/<person>/<photos>.
        model: path of the model folder: new, empty, or of a model, which is replaced once the new one is
            complete.
        config: options of the run; None: the defaults, for a small folder of faces.
        resume: whether the unfinished run in `model` is continued.
        progress: progress bars and messages; None: none.
        preview: path of a PNG file with the crops, written before training; with several processes it shows
            those of process 0.
        tensorboard: path of a folder for logs of TensorBoard.
        keep_crops: whether the caches of crops and views of earlier runs are used and extended.
        devices: devices and processes that share the work (docs/scale.md); None: this process on one device.
            Process 0 writes all files.
        force: whether an existing preview is replaced.

    Returns:
        Manifest of the model, and notes on the photos.

    Raises:
        FolderError: the folder lacks people or photos.
        UsageError: an option cannot be used, there is nothing to resume, the model, preview or logs cannot be
            written or would replace something else, or processes do not come together.
        MissingPackageError: the trunk's weights or JAX are not installed.
        DivergedError: a loss became infinite or NaN.
        KeyboardInterrupt: Ctrl-C before the first epoch ended, or in one of several processes.

    Example:
        >>> result = train("photos", "embed-model", TrainConfig(epochs=5))
        >>> result.manifest.dim
        128
    """
    progress, devices = progress or Progress(), devices or DeviceConfig()
    filled, trunk_facts = _resolve(config or TrainConfig())
    check_sharing(filled, devices)
    if resume and not filled.epochs:
        raise UsageError("--resume: with --epochs 0 there is no training to go on with")
    inputs = Inputs([folder, *([filled.trunk_weights] if filled.trunk_weights else [])])
    _check_places(Path(model), preview, tensorboard, inputs, force)
    with _joined(devices, progress.say) as group:
        scanned = scan_folder(folder)
        for note in name_notes(scanned.identities):
            progress.say(note)
        filled = _as_it_is(filled, scanned, progress)
        labelled = _own_part(scanned, filled, resume, devices, group)
        cropping = _cropping(filled.crop, filled, trunk_facts, progress)
        photos = merge_photo_reports(
            _read(labelled, filled, trunk_facts, cropping, keep_crops, progress), group
        )
        if preview is not None and group.is_first:
            save_preview(preview, preview_tiles(photos, Path(folder)), inputs, force)
            progress.say(f"Wrote {preview}")
            if letters := missing_letters(photos.identities):
                progress.say(missing_advice(letters))
        split = _split(photos, filled, folder)
        totals = Totals.of(photos, split, group)
        progress.say(_describe(totals))

        backend = load_backend(devices)
        from embedder.callbacks import tensorboard_log

        extra = [tensorboard_log(tensorboard)] if tensorboard and group.is_first else []
        from embedder.training.fit import Trainer

        setup, build = _setup(filled, trunk_facts, devices, group)
        trainer = Trainer(setup, build, photos, totals, filled, trunk_facts.pretrained, progress, keep_crops)
        with _place(model, group) as place:
            shared = {"backend": backend, "parallel": devices.sharing, "processes": group.count}
            facts = {**filled.to_dict(), **shared, "photos": photos.digest, **versions(backend)}
            facts[PEOPLE] = photos.people
            checkpoints = _checkpoints(place, facts, resume, group, progress)
            try:
                outcome, trunk, strangers = trainer.train_then_retrain(split, checkpoints, resume, extra)
                progress.say("Compiling the extractor")
                manifest = save_model(
                    place, trunk, strangers, photos, totals, filled, cropping, outcome, group
                )
                if group.is_first:
                    _write_record(place, filled, outcome, progress)
                if not outcome.interrupted:
                    for checkpoint in checkpoints:
                        checkpoint.drop()
            except ConnectionError:
                raise  # an OSError, but of another process that ended
            except OSError as error:
                raise UsageError(f"--model: {model} cannot be written: {error}") from error
    return TrainResult(manifest, photos.rejected, photos.crowded, outcome.interrupted, photos.copies)


def _as_it_is(config: FilledConfig, folder: LabelledFolder, progress: Progress) -> FilledConfig:
    """Set epochs to 0 if no person has two photos, since losses need pairs of photos."""
    if not config.epochs or max(Counter(sample.identity for sample in folder.samples).values()) > 1:
        return config
    progress.say(
        "Everyone has a single photo, from which nothing can be learned: the network is kept as it is, with "
        "a threshold from these people"
    )
    return replace(config, epochs=0)


@contextmanager
def _joined(devices: DeviceConfig, say: Callable[[str], None]) -> Iterator[ProcessGroup]:
    """Connect to the other processes, if there are any, before JAX is used."""
    if devices.num_processes == 1:
        yield ProcessGroup()
        return
    load_backend(devices)
    from embedder.training.distributed import joined

    with joined(devices, say) as group:
        yield group


def _resolve(config: TrainConfig) -> tuple[FilledConfig, Trunk]:
    """Fill in the options of the trunk, and check all options before any work is done."""
    trunk = find_trunk(config.trunk)
    check_combination(replace(config, head=config.head or trunk.schedule.head), trunk.schedule)
    return config.filled(trunk.schedule, trunk.input_size, trunk.crop, trunk.mirror), trunk


def _check_places(
    model: Path, preview: str | Path | None, logs: str | Path | None, inputs: Inputs, force: bool
) -> None:
    """Check the paths of model, preview and logs, so that no other files are replaced."""
    check_model_folder(model)
    if preview is not None:
        check_preview(preview, inputs, force)
    if logs is not None and (inputs.holds(Path(logs)) or (Path(logs).exists() and not Path(logs).is_dir())):
        raise UsageError(f"--tensorboard: {logs}: expected a folder apart from the photos; name another one")


def _read(
    folder: LabelledFolder,
    config: FilledConfig,
    trunk: Trunk,
    cropping: Cropping,
    keep_crops: bool,
    progress: Progress,
) -> Photos:
    def load(cropping: Cropping) -> tuple[Cropper, CropCache | None]:
        return load_cropper(cropping), CropCache(crop_recipe(cropping)) if keep_crops else None

    cropper, cache = load(cropping)
    photos = read_photos(folder, cropper, progress, cache, least=2 if config.epochs else 1)
    if config.distillation and config.degrade == "none" and config.crop == "whole" and trunk.crop == "face":
        cropper, cache = load(_cropping("face", config, trunk, progress))
        return with_clean_crops(photos, cropper, progress, cache)
    return photos


def _cropping(crop: str, config: FilledConfig, trunk: Trunk, progress: Progress) -> Cropping:
    """Make the settings of the cropper; the face detector is that of the built-in model."""
    if crop == "whole":
        return Cropping(crop, config.input_size)
    network = load_built_in(progress).parts["detector"]
    return Cropping(crop, config.input_size, trunk.landmarks, config.finding, network)


def _own_part(
    folder: LabelledFolder, config: FilledConfig, resume: bool, devices: DeviceConfig, group: ProcessGroup
) -> LabelledFolder:
    """Return the people that this process reads, after all have compared their options."""
    if group.count == 1:
        return folder
    options = {name: value for name, value in config.to_dict().items() if name != "trunk_weights"}  # a path
    run = {"resume": resume, "parallel": devices.sharing, "list of people and photos": listing(folder)}
    check_same_options(group, {**options, **run, **versions("jax")})
    return people_of_this_process(folder, group)


@contextmanager
def _place(model: str | Path, group: ProcessGroup) -> Iterator[Path]:
    """Make the model folder before the long work; a temporary one in processes above 0."""
    if not group.is_first:
        with TemporaryDirectory() as folder:
            yield Path(folder)
        return
    try:
        make_folder(Path(model))
    except OSError as error:
        raise UsageError(f"--model: the folder {model} cannot be made: {error.strerror}") from error
    yield Path(model)


def _checkpoints(
    model: Path, facts: dict[str, Any], resume: bool, group: ProcessGroup, progress: Progress
) -> tuple[Checkpoints, Checkpoints]:
    first, second = Checkpoints(model, facts), Checkpoints(model, facts, REFIT_FILE)
    if resume:
        broadcast_file(model / FILE, group)
        broadcast_file(model / REFIT_FILE, group)
        return first, second
    if first.exists():
        progress.say(f"{model} holds an unfinished run, which is now replaced; --resume would go on with it")
    second.drop()
    return first, second


def _setup(
    config: FilledConfig, trunk_facts: Trunk, devices: DeviceConfig, group: ProcessGroup
) -> tuple[TrainingDevices, Callable[[], keras.Model]]:
    """Build the trunk, and with several devices a copy on one of them, for validation."""
    import keras

    from embedder.backend import precision
    from embedder.training.distributed import TrainingDevices, distribution

    build = partial(trunk_facts.build, config.input_size, config.trunk_weights)
    with precision(config.precision):
        local_trunk = None if devices.sharing == "no" else build()
        keras.utils.set_random_seed(config.seed)
        with distribution(devices, config.batch_size):
            trunk = build()
    setup = TrainingDevices(trunk, local_trunk or trunk, devices, group)
    setup.sync_local_trunk()
    return setup, build


def _write_record(model: Path, config: FilledConfig, outcome: FitResult, progress: Progress) -> None:
    rows = table(outcome.history, outcome.scores)
    if not write_record(model, config, rows, config.target_fpir) and rows:
        progress.say(f"No {CURVES}: it needs matplotlib, which comes with embedder-enroll[report]")


def _split(photos: Photos, config: FilledConfig, folder: str | Path) -> HeldOutSplit:
    if config.epochs == 0:  # nothing is trained, so all people are held out
        return HeldOutSplit(np.empty(0, np.intp), np.arange(len(photos.labels)))
    return split_identities(photos.labels, config.hold_out, config.seed, folder)


def _describe(totals: Totals) -> str:
    people, held_out = totals.people, totals.held_out
    read = f"{count(people, 'person')}, {count(totals.photos, 'photo')}"
    if held_out == people:
        return f"{read}; the trunk is kept as it is"
    return f"{read}: learning from {people - held_out}, {held_out} held out to measure whether training helps"
