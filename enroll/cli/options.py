"""Declare the options that commands share; make options from a configuration's fields."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import Field, fields, replace
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from embedder.config import BUILT_IN, DetectorConfig, ImageLimits, use_limits
from embedder.config.toml import _plain
from embedder.errors import UsageError
from enroll.cli.terminal import Lines

if TYPE_CHECKING:
    from embedder.extractor import Extractor
    from embedder.images import Photo
    from enroll.looking import Looker
    from enroll.store import Terms


Command = Callable[..., None]

TRAINED_MODEL = "embed-model"  # what `embed train` writes
AS_FOUND = ""  # value of `Model` until its callback has chosen one


def _chosen(context: typer.Context, model: str) -> str:
    """Return the given model; else the folder of the usual name, if it exists."""
    if model:
        return model
    if context.get_parameter_source("model").name == "COMMANDLINE":  # type: ignore[union-attr]
        raise UsageError(f"--model: expected a model folder or {BUILT_IN}, got nothing")
    return TRAINED_MODEL if os.path.lexists(TRAINED_MODEL) else BUILT_IN


Model = Annotated[
    str,  # a Path would make one of built-in and ./built-in
    typer.Option(
        envvar="EMBED_MODEL",
        callback=_chosen,
        help=f"A model folder, or {BUILT_IN}: the network that comes with the toolkit.",
        show_default=f"{TRAINED_MODEL} if it is there, else {BUILT_IN}",
    ),
]
NewModel = Annotated[str, typer.Option("--model", envvar="EMBED_MODEL", help="The model folder to write.")]
AnyRotation = Annotated[
    bool, typer.Option("--any-rotation", help="Find also faces that lie on their side or head.")
]
MinFace = Annotated[int, typer.Option(help="Pixels across the smallest face to look for.")]
Threshold = Annotated[
    float | None,
    typer.Option(
        help="Largest distance at which a name is given.", show_default="the gallery's, else the model's"
    ),
]
Margin = Annotated[float, typer.Option(help="How much farther the second person must be; else: ambiguous.")]


def _set_max_pixels(pixels: int) -> int:
    use_limits(replace(ImageLimits(), max_pixels=pixels))
    return pixels


DEFAULT_MAX_PIXELS = ImageLimits.max_pixels
MaxPixels = Annotated[
    int,
    typer.Option(
        min=1,
        callback=_set_max_pixels,
        help="Most pixels that are decoded; larger JPEGs are read reduced, other pictures refused.",
    ),
]
Preview = Annotated[
    Path | None, typer.Option(help="PNG to write that shows the crops used.", show_default=False)
]
OwnTrunk = Annotated[
    str | None,
    typer.Option(
        "--trunk",
        help="FILE.py:FUNCTION, for a model trained with it: no code is taken from a model folder.",
        show_default=False,
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        help="Look at the photos on the machines of a Ray cluster: ray://HOST:PORT, or auto, the one that "
        "RAY_ADDRESS names, else one on this machine.",
        show_default=False,
    ),
]
SendPhotos = Annotated[
    bool,
    typer.Option(
        "--send-photos", help="With --cluster: send the photos; else each machine reads them at their paths."
    ),
]
FILMS = "Films and cameras"  # panel of the help
Fps = Annotated[float, typer.Option(help="Frames looked at per second of film.", rich_help_panel=FILMS)]
MaxTime = Annotated[float, typer.Option(help="Seconds that a film may take.", rich_help_panel=FILMS)]
LowQuality = Annotated[
    bool,
    typer.Option("--accept-low-quality", help="Enroll also faces that are too poor to be recognized well."),
]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that is there; never an input.")]
Report = Annotated[
    Path | None,
    typer.Option(
        "--report",
        help="Write a page with plots and pictures, one HTML file; takes the extra `report`.",
        show_default=False,
    ),
]
UNUSABLE_IMAGES = 3
INTERRUPTED = 130  # what a shell reports for a command ended by Ctrl-C

DEFAULT_GALLERY = "gallery.db"

GalleryFile = Annotated[
    str,  # a Path would make one slash of the two in milvus://
    typer.Option("--gallery", envvar="EMBED_GALLERY", help="A file, or milvus://HOST:PORT/NAME."),
]

DAY = ["%Y-%m-%d"]

Consent = Annotated[
    str | None, typer.Option(help="Where their consent is kept, such as a file number.", show_default=False)
]
ConsentDate = Annotated[
    datetime | None, typer.Option(formats=DAY, help="When it was given.", show_default=False)
]
Expires = Annotated[
    datetime | None,
    typer.Option(formats=DAY, help="The last day on which they are identified.", show_default=False),
]


def with_options(*kinds: type) -> Callable[[Command], Command]:
    """Add an option to a command for each field of some dataclasses.

    Args:
        *kinds: made of fields by `embedder.config.training.option`; no two have a field of one name.

    Returns:
        A decorator. The last parameter of the command is `**given`; it gets the fields that were set, for
        `fields_of` and `read_config`.
    """
    entries: dict[str, inspect.Parameter] = {}
    for kind in kinds:
        hints = get_type_hints(kind)  # once: it reads all fields of the class again
        entries |= {entry.name: _parameter(entry, _plain(hints[entry.name])) for entry in fields(kind)}

    def decorate(command: Command) -> Command:
        def run(context: typer.Context, **values: Any) -> None:
            left = {name for name in entries if context.get_parameter_source(name).name == "DEFAULT"}  # type: ignore[union-attr]
            command(**{name: value for name, value in values.items() if name not in left})

        own = list(inspect.signature(command, eval_str=True).parameters.values())[:-1]
        context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__signature__ = inspect.Signature([*own, context, *entries.values()])  # type: ignore[attr-defined]
        return run

    return decorate


def fields_of(kind: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of some options that are fields of a dataclass."""
    return {entry.name: given[entry.name] for entry in fields(kind) if entry.name in given}


def _parameter(entry: Field[Any], hint: Any) -> inspect.Parameter:
    facts = entry.metadata
    declared = typer.Option(
        help=facts["help"],
        show_default=facts["unset"] or bool(entry.default != ""),
        rich_help_panel=facts["panel"],
    )
    return inspect.Parameter(
        entry.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=entry.default,
        annotation=Annotated[hint, declared],
    )


def given_terms(
    consent: str | None, consent_date: datetime | None, expires: datetime | None, over: bool = False
) -> Terms | None:
    """Return the terms of the three options, None if none is given.

    Args:
        consent: of the option.
        consent_date: of the option.
        expires: of the option.
        over: accept a last day in the past.
    """
    from enroll.store import Terms
    from enroll.store.limits import new_terms_problem, terms_problem

    if consent is not None and not consent.strip():
        raise UsageError("--consent: expected where it is kept, got nothing")
    terms = Terms(consent, to_date(consent_date), to_date(expires))
    if problem := terms_problem(terms) if over else new_terms_problem(terms):
        field, _, reason = problem.partition(":")
        raise UsageError(f"--{field.replace('_', '-')}:{reason}")
    return None if terms == Terms() else terms


def to_date(moment: datetime | None) -> date | None:
    """Return the day of an option, None if it was not given."""
    return moment.date() if moment else None


def load_extractor(model: str, any_rotation: bool, min_face: int) -> Extractor:
    """Load a model with the detector's options."""
    from embedder.extractor import Extractor

    finding = DetectorConfig(min_face=min_face, any_rotation=any_rotation)
    return Extractor.load(model, finding=finding, progress=Lines())


@contextmanager
def looking_elsewhere(
    cluster: str | None, send_photos: bool, extractor: Extractor, photos: Iterable[Photo]
) -> Iterator[Looker | None]:
    """Connect to the cluster of --cluster, if one is given.

    Args:
        cluster: of the option.
        send_photos: of the option.
        extractor: the model that the machines are to use.
        photos: the first that is a file is looked for on all machines, unless photos are sent.

    Raises:
        UsageError: --send-photos is given alone, or the cluster cannot be used.
        MissingPackageError: Ray is not installed.
    """
    if cluster is None:
        if send_photos:
            raise UsageError("--send-photos: expected with --cluster, got it alone")
        yield None
        return
    from enroll.cluster import Spread, connect

    files = (Path(photo) for photo in photos if isinstance(photo, str | os.PathLike))
    first = None if send_photos else next((file for file in files if file.is_file()), None)
    with connect(cluster, first) as machines:
        yield Spread(machines, extractor, send_photos)


def model_folder(model: str) -> Path:
    """Return the folder of a model; the built-in one is made, if it is missing."""
    if model != BUILT_IN:
        return Path(model)
    from embedder.built_in import prepare_built_in

    return prepare_built_in(Lines())


def model_files(*models: str) -> list[str]:
    """Return the models that are folders of the user's own, for `Inputs`."""
    return [model for model in models if model != BUILT_IN]
