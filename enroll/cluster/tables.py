"""Convert questions and answers to Arrow tables, which Ray Data moves between machines, and back."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from embedder.folders import Rejected
from enroll.embedding import PhotoSample
from enroll.looking import AskedPhoto, DigestedPhoto, FoundFace, SampledPhoto, SearchedPhoto

DIGEST, SAMPLE, FACES = "digest", "sample", "faces"  # kinds of questions about photos

_QUESTION = pa.schema(
    [("row", pa.int32()), ("path", pa.binary()), ("place", pa.binary()), ("data", pa.large_binary())]
)
# Of every answer: log records about the photo; whether there is no file at the path; an error
# that ends the run, as the name of its class and its message.
_COMMON = [
    ("row", pa.int32()),
    ("digest", pa.binary()),
    ("problem", pa.string()),
    ("notes", pa.list_(pa.string())),
    ("missing", pa.bool_()),
    ("machine", pa.string()),
    ("error", pa.list_(pa.string())),
]
_FACE = pa.struct([("box", pa.list_(pa.int32())), ("vector", pa.binary()), ("quality", pa.string())])
_ANSWERS = {
    DIGEST: pa.schema(_COMMON),
    SAMPLE: pa.schema(
        [
            *_COMMON,
            ("read", pa.bool_()),
            ("faces", pa.int32()),
            ("vector", pa.binary()),
            ("picture", pa.binary()),
            ("crop", pa.binary()),
        ]
    ),
    FACES: pa.schema(
        [
            *_COMMON,
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("taken", pa.string()),
            ("faces", pa.list_(_FACE)),
        ]
    ),
}
Row = dict[str, Any]


def questions(rows: Sequence[int], photos: Sequence[AskedPhoto]) -> pa.Table:
    """Build a block of questions.

    Args:
        rows: number of each photo in its window.
        photos: the photos.
    """
    listed = [
        {
            "row": row,
            "path": os.fsencode(photo.path),
            "place": None if photo.data is not None else os.fsencode(photo.path.absolute()),
            "data": photo.data,
        }
        for row, photo in zip(rows, photos, strict=True)
    ]
    return pa.Table.from_pylist(listed, schema=_QUESTION)


def asked(table: pa.Table) -> Iterator[tuple[int, AskedPhoto, Path]]:
    """Yield the number of each photo, the photo, and the path to read it from."""
    for row in table.to_pylist():
        path = Path(os.fsdecode(row["path"]))
        place = path if row["place"] is None else Path(os.fsdecode(row["place"]))
        yield row["row"], AskedPhoto(path, row["data"]), place


def answers(kind: str, rows: Sequence[Row]) -> pa.Table:
    """Build a block of answers from the columns of each photo; missing values are null.

    Args:
        kind: `DIGEST`, `SAMPLE` or `FACES`.
        rows: columns of each photo.
    """
    return pa.Table.from_pylist(list(rows), schema=_ANSWERS[kind])


def of_digested(found: DigestedPhoto) -> Row:
    """Convert a digest to columns."""
    return {"digest": found.digest, "problem": found.problem}


def of_sampled(found: SampledPhoto) -> Row:
    """Convert a sample to columns."""
    sample = found.found
    if isinstance(sample, Rejected):
        return {"digest": found.digest, "problem": sample.reason, "read": False}
    return {
        "digest": found.digest,
        "problem": sample.problem,
        "read": True,
        "faces": sample.faces,
        "vector": None if sample.vector is None else sample.vector.astype("<f4").tobytes(),
        "picture": sample.picture,
        "crop": None if sample.crop is None else sample.crop.tobytes(),
    }


def of_searched(found: SearchedPhoto) -> Row:
    """Convert the faces of a photo to columns."""
    return {
        "digest": found.digest,
        "problem": found.problem,
        "width": found.width,
        "height": found.height,
        "taken": found.taken,
        "faces": [
            {
                "box": list(map(int, face.box)),
                "vector": face.vector.astype("<f4").tobytes(),
                "quality": json.dumps(face.quality),
            }
            for face in found.faces
        ],
    }


def to_digested(row: Row, _: Path, __: int) -> DigestedPhoto:
    """Convert columns to a digest."""
    return DigestedPhoto(row["digest"], row["problem"])


def to_sampled(row: Row, path: Path, size: int) -> SampledPhoto:
    """Convert columns to a sample.

    Args:
        row: its columns.
        path: of the photo.
        size: side of a crop in pixels.
    """
    if not row["read"]:
        return SampledPhoto(row["digest"], Rejected(path, row["problem"]))
    crop = None if row["crop"] is None else np.frombuffer(row["crop"], np.uint8).reshape(-1, size, 3)
    vector = None if row["vector"] is None else _vector(row["vector"])
    sample = PhotoSample(path, crop, row["faces"], row["problem"], vector, row["picture"])
    return SampledPhoto(row["digest"], sample)


def to_searched(row: Row, _: Path, __: int) -> SearchedPhoto:
    """Convert columns to the faces of a photo."""
    faces = tuple(
        FoundFace(_box(face["box"]), _vector(face["vector"]), _quality(face["quality"]))
        for face in row["faces"] or ()
    )
    facts = row["width"] or 0, row["height"] or 0, row["taken"], row["problem"]
    return SearchedPhoto(row["digest"], *facts, faces)


def _vector(data: bytes) -> NDArray[np.float32]:
    return np.frombuffer(data, "<f4").astype(np.float32)


def _box(numbers: Sequence[int]) -> tuple[int, int, int, int]:
    x, y, width, height = numbers
    return x, y, width, height


def _quality(text: str) -> Mapping[str, float]:
    quality: Mapping[str, float] = json.loads(text)
    return quality
