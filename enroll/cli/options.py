"""Declare the options that commands share; make options from a configuration's fields."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import Field, fields, replace
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from embedder.config import DetectorConfig, ImageLimits, use_limits
from embedder.config.toml import _plain
from embedder.errors import UsageError

if TYPE_CHECKING:
    from embedder.extractor import Extractor
    from enroll.store import Terms


Command = Callable[..., None]

Model = Annotated[Path, typer.Option(envvar="EMBED_MODEL", help="The model folder.")]
AnyRotation = Annotated[
    bool, typer.Option("--any-rotation", help="Find also faces that lie on their side or head.")
]
MinFace = Annotated[int, typer.Option(help="Pixels across the smallest face to look for.")]


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
FORCE_ADVICE = "name another file, or --force replaces it, and takes faces that are too poor, too"

DetectorName = Annotated[str | None, typer.Option(help="blazeface.", show_default="the model's")]


def with_options(*kinds: type) -> Callable[[Command], Command]:
    """Give a command one option for each field of some dataclasses.

    Args:
        *kinds: made of fields by `embedder.config.training.option`; no two have a field of one name.

    Returns:
        A decorator. The last parameter of the command is `**given`; it gets the fields that were set, for
        `fields_of` and `read_config`.
    """
    entries: dict[str, inspect.Parameter] = {}
    for kind in kinds:
        hints = get_type_hints(kind)  # once: it reads all fields of the class anew
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
    """Give those of some options that are fields of a dataclass."""
    return {entry.name: given[entry.name] for entry in fields(kind) if entry.name in given}


def _parameter(entry: Field[Any], hint: Any) -> inspect.Parameter:
    facts = entry.metadata
    told = typer.Option(
        help=facts["help"],
        show_default=facts["unset"] or bool(entry.default != ""),
        rich_help_panel=facts["panel"],
    )
    return inspect.Parameter(
        entry.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=entry.default,
        annotation=Annotated[hint, told],
    )


def given_terms(consent: str | None, consent_date: datetime | None, expires: datetime | None) -> Terms | None:
    """Give the terms of the three options, None if none is given."""
    from enroll.store import Terms
    from enroll.store.limits import terms_problem

    if consent is not None and not consent.strip():
        raise UsageError("--consent: expected where it is kept, got nothing")
    terms = Terms(consent, to_date(consent_date), to_date(expires))
    if problem := terms_problem(terms):
        raise UsageError(f"--{problem}")
    return None if terms == Terms() else terms


def to_date(moment: datetime | None) -> date | None:
    """Give the day of an option, None if it was not given."""
    return moment.date() if moment else None


def load_extractor(model: Path, detector: str | None, any_rotation: bool, min_face: int) -> Extractor:
    """Load a model folder with the detector that the options choose, else with its own."""
    from embedder.extractor import Extractor
    from embedder.model_folder import load_manifest

    name = detector or load_manifest(model).detector
    return Extractor.load(model, finding=DetectorConfig(name, min_face, any_rotation))
