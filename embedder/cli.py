"""`embed train` and `embed data`, and how all commands speak: progress, lists of rejected files, errors."""

from __future__ import annotations

import contextlib
import math
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from embedder.config import TrainConfig
from embedder.config.exports import FORMATS, WEIGHTS
from embedder.config.machines import Machines
from embedder.errors import ModelError
from embedder.options import fields_of, read_config, with_options
from embedder.progress import Advance, Progress
from embedder.wording import count

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
OwnTrunk = Annotated[
    str | None,
    typer.Option(
        "--trunk",
        help="FILE.py:FUNCTION, for a model trained with it: no code is taken from a model folder.",
        show_default=False,
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that is there; never an input.")]
DEFAULT_MODEL = Path("embed-model")
UNUSABLE_IMAGES = 3
_SETTLED = 1.0  # seconds before a bar says how fast it goes
INTERRUPTED = 130  # what a shell reports for a command ended by Ctrl-C


class TerminalProgress(Progress):
    """Lines and bars on standard error; bars only where a person is watching."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)

    def say(self, line: str) -> None:
        """Print a line, above the bar if there is one."""
        self._console.print(printable(line))

    @contextlib.contextmanager
    def bar(self, label: str, total: int, unit: str = "") -> Iterator[Advance]:
        """Show a bar with steps, how fast they go, time left and a detail that changes."""
        from rich import progress as rich

        def pace(task: rich.Task) -> float:
            """Steps a second since it began: steps come many at once, so the last ones tell nothing."""
            return task.completed / task.elapsed if task.elapsed and task.elapsed >= _SETTLED else 0

        class Speed(rich.ProgressColumn):
            def render(self, task: rich.Task) -> str:
                return f"{pace(task):.0f} {unit}/s" if unit and pace(task) else ""

        class Left(rich.ProgressColumn):
            def render(self, task: rich.Task) -> str:
                if not pace(task):
                    return "-:--:--"
                return str(timedelta(seconds=math.ceil((task.remaining or 0) / pace(task))))

        columns = (
            rich.TextColumn("{task.description}"),
            rich.BarColumn(bar_width=24),
            rich.MofNCompleteColumn(),
            Speed(),
            Left(),
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


@with_options(TrainConfig, Machines)
def train(
    folder: Annotated[Path, typer.Argument(help="FOLDER/<person>/<photos>", show_default=False)],
    model: Model = DEFAULT_MODEL,
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
    **given: Any,
) -> None:
    """Train on a labelled folder and write a model folder."""
    from embedder.outputs import Inputs
    from embedder.preview import check_preview
    from embedder.training.run import train as run

    options, machines = read_config(config, fields_of(TrainConfig, given)), fields_of(Machines, given)
    if preview is not None:
        check_preview(preview, Inputs([folder, *([config] if config else [])]), force)
    bars = TerminalProgress()
    result = run(
        folder, model, options, resume, bars, preview, tensorboard, cache, Machines(**machines), force
    )
    if result.manifest is None:
        print("Process 0 saved the model")
    else:
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
    force: Annotated[bool, typer.Option("--force", help="Replace other files of the same names.")] = False,
) -> None:
    """Write a public data set as a labelled folder."""
    from embedder.datasets import write_dataset

    people, photos = write_dataset(name, folder, TerminalProgress(), force)
    print(f"Wrote {count(photos, 'photo')} of {count(people, 'person')} to {printable(str(folder))}")


def export(
    to: Annotated[Path, typer.Argument(help="File to write; a folder for saved-model.", show_default=False)],
    form: Annotated[str, typer.Option("--format", help=f"One of {', '.join(FORMATS)}.")] = FORMATS[0],
    model: Model = DEFAULT_MODEL,
    trunk: OwnTrunk = None,
    force: Force = False,
) -> None:
    """Write the network from face to vector for other programs: phones, browsers, other languages."""
    from embedder.training.exporting import export as run

    manifest = run(model, to, form, force, trunk)
    size, dim = manifest.input_size, manifest.dim
    print(f"Wrote {printable(str(to))}: (n, {size}, {size}, 3) RGB from 0 to 255 to (n, {dim}) unit vectors")


def quantize(
    to: Annotated[
        Path, typer.Argument(metavar="NEW_MODEL", help="The model folder to write.", show_default=False)
    ],
    weights: Annotated[str, typer.Option(help=f"One of {', '.join(WEIGHTS)}.", show_default=False)],
    model: Model = DEFAULT_MODEL,
    trunk: OwnTrunk = None,
) -> None:
    """Write a smaller model with rounded weights: float16 is half the size, int8 a quarter and faster."""
    from embedder.training.quantizing import quantize as run

    made = run(model, to, weights, trunk)
    old, new = (shlex.quote(printable(str(folder))) for folder in (model, to))
    before, after = made.bytes_before / 1e6, made.bytes_after / 1e6
    print(f"Wrote {printable(str(to))}: {weights}, a network of {after:.2f} MB instead of {before:.2f} MB")
    print(f"Vectors turn a little: cosine {made.cosine:.4f} or more on random pictures. On your photos:")
    print(f"  embed evaluate FOLDER --compare {old} {new}")
    print("A gallery is of one model. For this one, make yours anew and find its threshold:")
    print(f"  embed gallery re-embed --model {new}")
    print(f"  embed calibrate --model {new}")


def describe_training(manifest: Manifest) -> list[str]:
    """Say whether training helped, in plain words, and what the first threshold rests on.

    Raises:
        ModelError: the manifest's record of training is not one of ours.
    """
    from embedder.bundle import FLOAT32

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
            f"First threshold {threshold.distance:.3f}: an estimate, from "
            f"{count(threshold.searches, 'photo')} of {count(threshold.people, 'person')} it had not met, "
            f"meant to name {100 * threshold.target_fpir:g} % of strangers in a gallery of "
            f"{count(threshold.gallery_identities, 'person')}"
            + (", found before its weights were rounded" if manifest.weights_as != FLOAT32 else "")
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
    shown = ", as they are and as poor copies" if training["config"].get("rehearsal") else ""
    figures = (
        f"On {count(training['held_out_people'], 'person')} it has not met "
        f"({count(frozen['searches'], 'photo')}{shown}), "
        f"before → after: TPIR at FPIR {fpir:g} {frozen['tpir']:.3f} → {trained['tpir']:.3f}, "
        f"rank-1 {frozen['rank1']:.3f} → {trained['rank1']:.3f}"
    )
    again = ["Kept is a second training, on everyone"] if training.get("refitted") else []
    return [figures, verdict, *again]


def show_rejected(rejected: Sequence[Rejected]) -> None:
    """List on standard error what could not be used."""
    if rejected:
        print(f"{len(rejected)} not used:", file=sys.stderr)
        for entry in rejected:
            print(f"  {printable(str(entry.path))}: {printable(entry.reason)}", file=sys.stderr)


def show_crowded(crowded: Mapping[Path, int]) -> None:
    """List on standard error which photos show more than the person they are of."""
    if crowded:
        print(
            f"{count(len(crowded), 'photo')} with several faces; the largest, most central one was used:",
            file=sys.stderr,
        )
        for path, faces in crowded.items():
            print(f"  {printable(str(path))}: {count(faces, 'face')}", file=sys.stderr)


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
