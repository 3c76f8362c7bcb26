"""`embed train`, `data`, `export`, `quantize` and `info`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from embedder._internal.wording import count
from embedder.config import BUILT_IN, FORMATS, WEIGHTS, TrainConfig
from embedder.config.devices import DeviceConfig
from embedder.config.toml import read_config
from embedder.errors import ModelError, UsageError
from enroll.cli.options import (
    AS_FOUND,
    DEFAULT_GALLERY,
    DEFAULT_MAX_PIXELS,
    INTERRUPTED,
    TRAINED_MODEL,
    UNUSABLE_IMAGES,
    Force,
    GalleryFile,
    MaxPixels,
    Model,
    NewModel,
    OwnTrunk,
    Preview,
    Report,
    fields_of,
    model_files,
    model_folder,
    with_options,
)
from enroll.cli.output import answer, note, tell
from enroll.cli.reports import check_place, save
from enroll.cli.terminal import TerminalProgress, printable, safe, show_copies, show_crowded, show_rejected

if TYPE_CHECKING:
    from embedder.model_folder import Manifest


@with_options(TrainConfig, DeviceConfig)
def train(
    folder: Annotated[Path, typer.Argument(help="FOLDER/<person>/<photos>", show_default=False)],
    model: NewModel = TRAINED_MODEL,
    config: Annotated[
        Path | None,
        typer.Option(help="TOML file of options, as train.toml in a model folder.", show_default=False),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the unfinished run.")] = False,
    preview: Preview = None,
    tensorboard: Annotated[
        Path | None, typer.Option(help="Folder for logs that TensorBoard shows.", show_default=False)
    ] = None,
    cache: Annotated[
        bool, typer.Option(help="Keep the faces that were found, so that the next run need not look again.")
    ] = True,
    force: Annotated[bool, typer.Option("--force", help="Replace a preview that is there.")] = False,
    max_pixels: MaxPixels = DEFAULT_MAX_PIXELS,
    **given: Any,
) -> None:
    """Train on a labelled folder and write a model folder."""
    if model == BUILT_IN:
        raise UsageError(
            f"--model: expected a folder to write, got {BUILT_IN}, the network that comes with the toolkit; "
            f"a folder of this name is ./{BUILT_IN}"
        )
    from embedder._internal.outputs import Inputs
    from embedder.contact_sheet import check_preview
    from embedder.training.run import train as run

    options, devices = read_config(config, fields_of(TrainConfig, given)), fields_of(DeviceConfig, given)
    if preview is not None:
        check_preview(preview, Inputs([folder, *([config] if config else [])]), force)
    bars = TerminalProgress()
    result = run(
        folder,
        Path(model),
        options,
        resume,
        bars,
        preview,
        tensorboard,
        cache,
        DeviceConfig(**devices),
        force,
    )
    if result.manifest is None:
        tell("Process 0 saved the model", "trained")
    else:
        lines = describe_training(result.manifest)
        tell(
            "\n".join([*lines, f"Saved {safe(model)}"]),
            "trained",
            model=model,
            fingerprint=result.manifest.fingerprint,
            helped=result.manifest.training.get("helped"),
            described=lines,
        )
    show_crowded(result.crowded)
    show_copies(result.copies)
    show_rejected(result.rejected)
    if result.interrupted:
        note("Stopped before the last epoch; --resume goes on from here")
        raise typer.Exit(INTERRUPTED)
    if result.rejected:
        raise typer.Exit(UNUSABLE_IMAGES)


def data(
    name: Annotated[str, typer.Argument(help="orl, lfw or olivetti.", show_default=False)],
    folder: Annotated[Path, typer.Argument(help="Where to write it.", show_default=False)],
    force: Annotated[bool, typer.Option("--force", help="Replace other files of the same names.")] = False,
) -> None:
    """Write a public data set as a labelled folder."""
    from embedder.folders import write_dataset

    people, photos = write_dataset(name, folder, TerminalProgress(), force)
    line = f"Wrote {count(photos, 'photo')} of {count(people, 'person')} to {safe(folder)}"
    tell(line, "wrote", folder=str(folder), people=people, photos=photos)


def export(
    to: Annotated[Path, typer.Argument(help="File to write; a folder for saved-model.", show_default=False)],
    form: Annotated[str, typer.Option("--format", help=f"One of {', '.join(FORMATS)}.")] = FORMATS[0],
    model: Model = AS_FOUND,
    trunk: OwnTrunk = None,
    force: Force = False,
) -> None:
    """Write the network from face to vector for other programs: phones, browsers, other languages."""
    from embedder.export.formats import export_model as run

    manifest = run(model_folder(model), to, form, force, trunk)
    size, dim = manifest.input_size, manifest.dim
    line = f"Wrote {safe(to)}: (n, {size}, {size}, 3) RGB from 0 to 255 to (n, {dim}) unit vectors"
    tell(line, "exported", file=str(to), format=form, input_size=size, dim=dim)


def quantize(
    to: Annotated[
        Path, typer.Argument(metavar="NEW_MODEL", help="The model folder to write.", show_default=False)
    ],
    weights: Annotated[str, typer.Option(help=f"One of {', '.join(WEIGHTS)}.", show_default=False)],
    model: Model = AS_FOUND,
    trunk: OwnTrunk = None,
) -> None:
    """Write a smaller model with rounded weights: float16 is half the size, int8 a quarter and faster."""
    from embedder.export.quantize import quantize_model as run

    made = run(model_folder(model), to, weights, trunk)
    old, new = (shlex.quote(safe(folder)) for folder in (model, to))
    before, after = made.bytes_before / 1e6, made.bytes_after / 1e6
    lines = (
        f"Wrote {safe(to)}: {weights}, a network of {after:.2f} MB instead of {before:.2f} MB",
        f"Vectors turn a little: cosine {made.cosine:.4f} or more on random pictures. On your photos:",
        f"  embed evaluate FOLDER --compare {old} {new}",
        "A gallery is of one model. For this one, make yours again and find its threshold:",
        f"  embed gallery re-embed --model {new}",
        f"  embed calibrate --model {new}",
    )
    sizes = {"bytes": made.bytes_after, "bytes_before": made.bytes_before}
    tell("\n".join(lines), "quantized", model=str(to), weights=weights, cosine=float(made.cosine), **sizes)


def describe_training(manifest: Manifest) -> list[str]:
    """Describe whether training helped, and the evidence for the first threshold.

    Raises:
        ModelError: the manifest's record of training is not one of ours.
    """
    from enroll.gallery.threshold import TARGET_FPIR

    lines = []
    try:
        if manifest.training["scores"]:
            lines += _describe(manifest.training)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise ModelError(
            f"the manifest's record of training lacks or garbles {error}; train again"
        ) from error
    if (strangers := manifest.strangers) is None:
        lines.append(
            "No threshold, since fewer than 2 people were held out; identify needs `embed calibrate` or "
            "--threshold"
        )
    else:
        fpir, people = TARGET_FPIR, 20
        lines.append(
            f"First threshold {strangers.threshold(fpir, people):.3f}: names at most {100 * fpir:g} % of "
            f"strangers in a gallery of {count(people, 'person')} with a photo each, 95 % sure, from "
            f"{count(strangers.photos, 'photo')} of {count(strangers.people, 'person')} held out of training"
            + (", found before its weights were rounded" if "quantized_from" in manifest.training else "")
        )
    return lines


def _describe(training: dict[str, Any]) -> list[str]:
    frozen, trained = training["scores"][0], training["scores"][training["best_epoch"]]
    kept = training["kept_epoch"]
    verdict = (
        f"Training helped; kept epoch {kept}"
        if training["helped"]
        else f"Training did not help; epoch {kept} is kept because of --keep-trained"
        if kept
        else "Training did not help; the trunk is kept as it was (--keep-trained keeps the trained one)"
    )
    fpir = training["config"]["target_fpir"]
    again = ["Saved: retrained on all people, held-out ones included"] if training.get("refitted") else []
    if training.get("views"):
        return [*_of_views(training, fpir), verdict, *again]
    config = training["config"]
    distilled = config.get("distillation", config.get("rehearsal"))  # as version 0.1 wrote it
    shown = ", original and degraded" if distilled else ""
    figures = (
        f"On {_held_out(training, frozen['searches'], shown)}, before → after: {_NAMED} at {100 * fpir:g} % "
        f"of strangers named (FPIR) {frozen['tpir']:.3f} → {trained['tpir']:.3f}, nearest person right "
        f"(rank-1) {frozen['rank1']:.3f} → {trained['rank1']:.3f}"
    )
    return [figures, verdict, *again]


def _held_out(training: dict[str, Any], searches: int, shown: str = "") -> str:
    return f"{count(training['held_out_people'], 'held-out person')} ({count(searches, 'photo')}{shown})"


_NAMED = "share of known people named (TPIR)"
_SHOWN = {
    "clean": "clean photos",
    "degraded": "degraded photos",
    "crossed": "enrolled clean, searched degraded",
    "varied": "tinted, turned, in other light or covered",
}


def _of_views(training: dict[str, Any], fpir: float) -> list[str]:
    """Describe gains and losses on views of the held-out people."""
    before, after = training["views"]
    changes = [
        f"  {shown}: {before['tpir'][name]:.3f} → {after['tpir'][name]:.3f}" for name, shown in _SHOWN.items()
    ]
    share = f"with {100 * after['share']:.0f} % of the trained weights"
    figure = f"{_NAMED} at {100 * fpir:g} % of strangers named (FPIR)"
    return [
        f"On {_held_out(training, after['searches'])}, before → {share}, {figure}:",
        *changes,
        f"  vectors of the last moved by {after['drift']:.3f} (1 - cosine, mean)",
    ]


def info(
    model: Model = AS_FOUND,
    gallery: GalleryFile = DEFAULT_GALLERY,
    report: Report = None,
    force: Force = False,
) -> None:
    """Say what the model and the gallery are, and check every byte of the model."""
    from embedder._internal.outputs import Inputs
    from embedder.model_folder import check_model
    from enroll.store import gallery_exists, gallery_files, open_store, without_password

    inputs = Inputs(model_files(model), gallery_files(gallery))
    check_place(report, inputs, force)
    folder = model_folder(model)
    manifest = check_model(folder)
    lines = [
        f"model {safe(model)}" + (f", kept in {safe(folder)}" if model == BUILT_IN else ""),
        f"  trunk {printable(manifest.trunk)}, head {printable(manifest.head)}",
    ]
    mirror = ", averaged with the mirror picture" if manifest.mirror else ""
    lines.append(f"  {manifest.input_size} x {manifest.input_size} pixels, crop {manifest.crop}{mirror}")
    origin = manifest.training.get("quantized_from")
    quantized = f", rounded from model {printable(str(origin)[:12])}" if origin else ""
    lines.append(f"  weights stored as {manifest.weights_as}{quantized}")
    lines.append(f"  vectors of {manifest.dim} numbers, fingerprint {manifest.fingerprint[:12]}")
    described = describe_training(manifest)
    lines += [f"  {line}" for line in described]
    facts: dict[str, Any] = {
        "model": {
            "name": str(model),
            "folder": str(folder),
            "trunk": manifest.trunk,
            "head": manifest.head,
            "input_size": manifest.input_size,
            "crop": manifest.crop,
            "mirror": manifest.mirror,
            "weights": manifest.weights_as,
            "dim": manifest.dim,
            "fingerprint": manifest.fingerprint,
            "described": described,
        },
        "gallery": None,
    }
    lines.append(f"gallery {printable(without_password(gallery))}")
    if gallery_exists(gallery):
        with open_store(gallery) as store:
            people = store.identities()
            bound = store.model()
        photos = sum(photos for _, photos in people)
        lines.append(f"  {count(len(people), 'person')}, {count(photos, 'photo')}")
        if bound is not None:
            lines.append(f"  made with {_which(bound[0], manifest)}")
        facts["gallery"] = {
            "people": len(people),
            "photos": photos,
            "fingerprint": None if bound is None else bound[0],
        }
    else:
        lines.append("  not there yet; `embed enroll` makes it")
    answer(facts, *lines)
    if report is not None:
        from enroll.report.training_page import training_page

        title = f"Training of {Path(model).resolve().name if model != BUILT_IN else model}"
        save(report, training_page(manifest, described, title), inputs, force)


def _which(fingerprint: str, manifest: Manifest) -> str:
    """Describe which model a gallery was made with, beside the given one."""
    from embedder.built_in import built_in_fingerprint

    if fingerprint == manifest.fingerprint:
        return "this model"
    if fingerprint == built_in_fingerprint():
        return f"another model: --model {BUILT_IN}"
    return f"another model, {fingerprint[:12]}"
