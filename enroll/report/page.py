"""Write a report: one HTML file that opens offline, requests nothing from the network and runs nothing.

The templates escape every text; `clean` replaces characters that act on a reader's screen. Only SVG of
`enroll.report.plots` is inserted unescaped.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from embedder._internal.outputs import Inputs, check_output, write_output
from embedder._internal.text import clean
from embedder.errors import MissingPackageError, UsageError
from enroll.report.svg import check_matplotlib

if TYPE_CHECKING:
    import numpy as np
    from jinja2 import Environment
    from numpy.typing import NDArray

SIDE = 96  # pixels: people tell faces apart from 64 on; 50 pictures are 250 kB


@dataclass(frozen=True)
class Picture:
    """Holds a picture within a page.

    Attributes:
        data: of a JPEG file, in base64.
        width, height: in pixels.
        text: what it shows, for those who do not see it.
    """

    data: str
    width: int
    height: int
    text: str


@dataclass(frozen=True)
class Plot:
    """Holds a plot and its caption.

    Attributes:
        title: of the plot.
        svg: an element of `enroll.report.plots.to_svg`.
        caption: how to read it.
    """

    title: str
    svg: str
    caption: str


@dataclass(frozen=True)
class Face:
    """Holds a face and the texts below it; its picture is None if there is none any more."""

    picture: Picture | None
    name: str
    photo: str


@dataclass(frozen=True)
class Entry:
    """Holds one statement: a sentence, faces that show it, and the command that fixes it."""

    text: str
    faces: tuple[Face, ...] = ()
    command: str | None = None


def face(crop: NDArray[np.uint8] | None, name: str, photo: str = "") -> Face:
    """Build a face for a page.

    Args:
        crop: (height, width, 3) uint8 RGB, None if it cannot be shown.
        name: of the person.
        photo: its description, such as the name of its file.
    """
    text = f"{name}: {photo}" if photo else name
    return Face(None if crop is None else picture(crop, text), name, photo)


def file_name(photo: str) -> str:
    """Return the last part of a path as it is stored, without the place of a face in the photo."""
    return photo.partition("#")[0].replace("\\", "/").rpartition("/")[2]


def picture(crop: NDArray[np.uint8], text: str, side: int = SIDE) -> Picture:
    """Build a picture for a page, reduced if it is large.

    Args:
        crop: (height, width, 3) uint8 RGB.
        text: what it shows, for those who do not see it.
        side: largest number of pixels of the longer side.
    """
    image = Image.fromarray(crop)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return Picture(b64encode(buffer.getvalue()).decode("ascii"), image.width, image.height, text)


def check_report(path: str | Path, inputs: Inputs | None = None, force: bool = False) -> None:
    """Check that a report can be written, before the work.

    Args:
        path: of the file.
        inputs: files that are never replaced; see `outputs.check_output`.
        force: replace a file that exists.

    Raises:
        UsageError: the folder does not exist, or the file must not be replaced.
        MissingPackageError: matplotlib or jinja2 is not installed.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise UsageError(f"{path}: expected a file in a folder that exists; there is no {path.parent}")
    check_output(path, inputs, force)
    check_matplotlib()
    _check_jinja()


def write_report(path: str | Path, text: str, inputs: Inputs | None = None, force: bool = False) -> None:
    """Write a page from `render`, completely or not at all.

    Args:
        path: of the file.
        text: of the page.
        inputs: files that are never replaced; see `outputs.write_output`.
        force: replace a file that exists.

    Raises:
        UsageError: see `outputs.write_output` for that and for the arguments.
    """
    write_output(path, text.encode("utf-8"), inputs, force)


def render(template: str, **content: Any) -> str:
    """Fill a template of `enroll/report/templates`.

    Args:
        template: its name without ".html.j2".
        **content: its variables; a missing one is an error.

    Raises:
        MissingPackageError: jinja2 is not installed.
    """
    _check_jinja()
    return _environment().get_template(f"{template}.html.j2").render(content)


def _check_jinja() -> None:
    try:
        import jinja2  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(
            "a report needs jinja2, which is not installed; pip install 'embedder-enroll[report]'"
        ) from error


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("enroll.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_cleaned,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _cleaned(value: Any) -> Any:
    """Replace characters that act on a screen; HTML of a template is left as it is."""
    if not isinstance(value, str) or hasattr(value, "__html__") or (value.isascii() and value.isprintable()):
        return value
    return clean(value)
