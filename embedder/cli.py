"""`embed train` and `embed data`, and how all commands speak: progress, lists of rejected files, errors."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from embedder.config import TrainConfig
from embedder.errors import ModelError
from embedder.progress import Advance, Progress

if TYPE_CHECKING:
    from embedder.bundle import Manifest
    from embedder.folders import Rejected

Model = Annotated[Path, typer.Option(envvar="EMBED_MODEL", help="The model folder.")]
AnyRotation = Annotated[
    bool, typer.Option("--any-rotation", help="Find also faces that lie on their side or head.")
]
MinFace = Annotated[int, typer.Option(help="Pixels across the smallest face to look for.")]
Preview = Annotated[
    Path | None, typer.Option(help="PNG to write that shows the chips used.", show_default=False)
]
DEFAULT_MODEL = Path("embed-model")
UNUSABLE_IMAGES = 3
INTERRUPTED = 130  # what a shell reports for a command ended by Ctrl-C

_DEFAULT = TrainConfig()


class TerminalProgress(Progress):
    """Lines and bars on standard error; bars only where a person is watching."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)

    def say(self, line: str) -> None:
        """Print a line, above the bar if there is one."""
        self._console.print(printable(line))

    @contextlib.contextmanager
    def bar(self, label: str, total: int) -> Iterator[Advance]:
        """Show a bar with steps, time left and a detail that changes."""
        from rich import progress as rich

        columns = (
            rich.TextColumn("{task.description}"),
            rich.BarColumn(bar_width=24),
            rich.MofNCompleteColumn(),
            rich.TimeRemainingColumn(),
            rich.TextColumn("{task.fields[detail]}"),
        )
        bars = rich.Progress(
            *columns,
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
            redirect_stdout=sys.stdout.isatty(),  # answers that go to a file are not for the bar
        )
        with bars:
            task = bars.add_task(label, total=total, detail="")
            yield lambda steps=1, detail="": bars.update(task, advance=steps, detail=printable(detail))


def train(
    folder: Annotated[Path, typer.Argument(help="FOLDER/<person>/<photos>", show_default=False)],
    model: Model = DEFAULT_MODEL,
    trunk: Annotated[str, typer.Option(help="face-resnet, small-cnn or imagenet:<name>.")] = _DEFAULT.trunk,
    head: Annotated[str, typer.Option(help="center, center-embedding or softmax.")] = _DEFAULT.head,
    center_weight: Annotated[
        float, typer.Option(help="λ, the weight of the center loss.")
    ] = _DEFAULT.center_weight,
    center_rate: Annotated[
        float, typer.Option(help="α, how fast centers follow their photos; 0: the optimizer moves them.")
    ] = _DEFAULT.center_rate,
    learning_rate: Annotated[
        float | None, typer.Option(help="Adam's learning rate.", show_default="the trunk's own")
    ] = _DEFAULT.learning_rate,
    warmup: Annotated[
        int, typer.Option(help="Batches over which the learning rate rises.")
    ] = _DEFAULT.warmup,
    epochs: Annotated[
        int | None,
        typer.Option(
            help="Passes over the photos; 0 keeps the trunk as it is.", show_default="the trunk's own"
        ),
    ] = _DEFAULT.epochs,
    batch_size: Annotated[int, typer.Option(help="Photos per step.")] = _DEFAULT.batch_size,
    seed: Annotated[int, typer.Option(help="Of all that is drawn at random.")] = _DEFAULT.seed,
    input_size: Annotated[
        int | None,
        typer.Option(help="Side of the square the trunk sees, in pixels.", show_default="the trunk's own"),
    ] = _DEFAULT.input_size,
    crop: Annotated[
        str | None,
        typer.Option(
            help="face: find and align the faces; whole: the picture is the sample.",
            show_default="face with face-resnet, else whole",
        ),
    ] = _DEFAULT.crop,
    detector: Annotated[str, typer.Option(help="blazeface or mtcnn.")] = _DEFAULT.detector,
    any_rotation: AnyRotation = _DEFAULT.any_rotation,
    min_face: MinFace = _DEFAULT.min_face,
    mirror: Annotated[
        bool, typer.Option(help="Average each vector with that of the mirror picture.")
    ] = _DEFAULT.mirror,
    hold_out: Annotated[
        float, typer.Option(help="Share of the people kept out of training to check the model on.")
    ] = _DEFAULT.hold_out,
    target_fpir: Annotated[
        float, typer.Option(help="Share of strangers the first threshold may name.")
    ] = _DEFAULT.target_fpir,
    keep_trained: Annotated[
        bool, typer.Option("--keep-trained", help="Keep the trained weights even if they did not help.")
    ] = _DEFAULT.keep_trained,
    trunk_weights: Annotated[
        Path | None,
        typer.Option(help="File with the weights of an ImageNet trunk.", show_default="fetched by Keras"),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the unfinished run.")] = False,
    preview: Preview = None,
) -> None:
    """Train on a labelled folder and write a model folder."""
    from embedder.training.run import train as run

    config = TrainConfig(
        trunk=trunk,
        head=head,
        center_weight=center_weight,
        center_rate=center_rate,
        learning_rate=learning_rate,
        warmup=warmup,
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        input_size=input_size,
        crop=crop,
        detector=detector,
        any_rotation=any_rotation,
        min_face=min_face,
        mirror=mirror,
        hold_out=hold_out,
        target_fpir=target_fpir,
        keep_trained=keep_trained,
        trunk_weights=str(trunk_weights) if trunk_weights else None,
    )
    result = run(folder, model, config, resume, TerminalProgress(), preview)
    for line in describe_training(result.manifest):
        print(line)
    print(f"Saved {printable(str(model))}")
    show_crowded(result.crowded)
    show_rejected(result.rejected)
    if result.interrupted:
        print("Stopped before the last epoch; --resume goes on from here", file=sys.stderr)
        raise typer.Exit(INTERRUPTED)
    if result.rejected:
        raise typer.Exit(UNUSABLE_IMAGES)


def data(
    name: Annotated[str, typer.Argument(help="orl, lfw or olivetti.", show_default=False)],
    folder: Annotated[Path, typer.Argument(help="Where to write it.", show_default=False)],
) -> None:
    """Write a public data set as a labelled folder."""
    from embedder.datasets import write_dataset

    people, photos = write_dataset(name, folder, TerminalProgress())
    print(f"Wrote {photos} photos of {people} people to {printable(str(folder))}")


def describe_training(manifest: Manifest) -> list[str]:
    """Say whether training helped, in plain words, and what the first threshold rests on.

    Raises:
        ModelError: the manifest's record of training is not one of ours.
    """
    lines = []
    try:
        if manifest.training["scores"]:
            lines += _in_words(manifest.training)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ModelError(
            f"the manifest's record of training lacks or garbles {error}; train again"
        ) from error
    if (threshold := manifest.threshold) is None:
        lines.append("No threshold, since no one was held out; identify needs --threshold")
    else:
        lines.append(
            f"First threshold {threshold.distance:.3f}: an estimate, from {threshold.searches} photos of "
            f"{threshold.people} people it has not met, meant to name {100 * threshold.target_fpir:g} % of "
            f"strangers in a gallery of {threshold.gallery_identities} people"
        )
    return lines


def _in_words(training: dict[str, Any]) -> list[str]:
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
    figures = (
        f"On {training['held_out_people']} people it has not met ({frozen['searches']} photos), "
        f"before → after: TPIR at FPIR {fpir:g} {frozen['tpir']:.3f} → {trained['tpir']:.3f}, "
        f"rank-1 {frozen['rank1']:.3f} → {trained['rank1']:.3f}"
    )
    return [figures, verdict]


def show_rejected(rejected: Sequence[Rejected]) -> None:
    """List on standard error what could not be used."""
    if rejected:
        print(f"{len(rejected)} not used:", file=sys.stderr)
        for entry in rejected:
            print(f"  {printable(str(entry.path))}: {printable(entry.reason)}", file=sys.stderr)


def show_crowded(crowded: Mapping[Path, int]) -> None:
    """List on standard error which photos show more than the person they are of."""
    if crowded:
        many = "photo shows" if len(crowded) == 1 else "photos show"
        print(
            f"{len(crowded)} {many} several faces; the largest, most central one was used:", file=sys.stderr
        )
        for path, faces in crowded.items():
            print(f"  {printable(str(path))}: {faces} faces", file=sys.stderr)


def show_missing_letters(names: Iterable[str]) -> None:
    """Say on standard error which letters of some names could not be drawn, and what helps."""
    from embedder.lettering import missing_advice, missing_letters

    if letters := missing_letters(names):
        print(missing_advice(letters), file=sys.stderr)


def printable(text: str) -> str:
    """Escape what a terminal would act on or could not show, as names of files may hold anything."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "surrogatepass").decode()
        for character in text
    )
