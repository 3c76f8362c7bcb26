"""Serve the routes of CompreFace 1.2 for pictures: recognition, detection, verification.

Double-Take, Viseron and Home Assistant use them.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Request
from numpy.typing import NDArray
from starlette.responses import Response

from embedder.faces.crop import Crop
from enroll.decision import Decision, decide, one_face_per_person
from enroll.serve import compreface_people
from enroll.serve.access import Caller
from enroll.serve.answers import json_response
from enroll.serve.compreface_shapes import (
    NO_FACE,
    PATHS,
    RefusedError,
    error_of,
    is_true,
    likeness,
    number,
    number_of,
    one_of,
    picture,
    query_of,
    share,
    similarity_list,
)
from enroll.serve.engine import Engine, Options
from enroll.serve.services import Services, needs, services_of
from enroll.serve.similarity import box_of, probability
from enroll.serve.uploads import Upload, read_body

__all__ = ["PATHS", "error_of", "routers"]

router = APIRouter(prefix="/api/v1", include_in_schema=False)
routers = router, compreface_people.router

MayIdentify = Annotated[Caller, Depends(needs("identify"))]

_MOST_VECTORS = 1000


@dataclass(frozen=True, eq=False)
class _Looked:
    """Holds the faces of a picture.

    Attributes:
        size: height and width of the picture in pixels.
        crops: the faces, the largest first.
        vectors: (n, dim) float32, unit rows.
        decisions: for each face, if names were asked for.
        threshold: largest distance at which a name is given.
        milliseconds: time for finding and embedding.
    """

    size: tuple[int, int]
    crops: list[Crop]
    vectors: NDArray[np.float32]
    decisions: list[Decision]
    threshold: float
    milliseconds: tuple[float, float]


@router.post("/recognition/recognize")
async def recognize(request: Request, caller: MayIdentify) -> Response:
    """Name the faces of a picture."""
    query = query_of(request)
    count = number(query, "prediction_count", 1)
    if count < 1:
        raise RefusedError(26, "prediction_count: expected 1 or more")
    looked = await _look(request, query, count)
    return json_response(_faces(looked, query, count))


@router.post("/detection/detect")
async def detect(request: Request, caller: MayIdentify) -> Response:
    """Find the faces of a picture."""
    query = query_of(request)
    return json_response(_faces(await _look(request, query, 0), query, 0))


@router.post("/verification/verify")
async def verify(request: Request, caller: MayIdentify) -> Response:
    """Compare the face of one picture with those of another."""
    query, services = query_of(request), services_of(request)
    body = await read_body(request, services.config)
    least, limit = share(query, "det_prob_threshold"), number(query, "limit", 0)
    source, target = [
        await services.engine.run(_looked, services, one_of(body, name, request), least, 0)
        for name in ("source_image", "target_image")
    ]
    if len(source.crops) > 1:
        raise RefusedError(31, "Found more than one face in the source image")
    matches: list[dict[str, Any]] = [
        {
            "box": box_of(crop.box, crop.quality, target.size),
            "similarity": likeness(math.dist(source.vectors[0], vector), target.threshold),
        }
        for crop, vector in list(zip(target.crops, target.vectors, strict=True))[: limit or None]
    ]
    matches.sort(key=lambda match: -match["similarity"])
    face = {"box": box_of(source.crops[0].box, source.crops[0].quality, source.size)}
    return json_response({"result": [{"source_image_face": face, "face_matches": matches}]})


@router.post("/recognition/faces/{image}/verify")
async def verify_face(request: Request, image: str, caller: MayIdentify) -> Response:
    """Compare the faces of a picture with an enrolled photo; with one that is not there, none is alike."""
    query, services = query_of(request), services_of(request)
    looked = await _look(request, query, 0)
    name, vector = await services.engine.run(_template, services, number_of(image))
    result = [
        {
            "box": box_of(crop.box, crop.quality, looked.size),
            "subject": name,
            "similarity": 0.0 if vector is None else likeness(math.dist(own, vector), looked.threshold),
        }
        for crop, own in zip(looked.crops, looked.vectors, strict=True)
    ]
    return json_response({"result": result[: number(query, "limit", 0) or None]})


@router.post("/recognition/embeddings/recognize")
async def recognize_vectors(request: Request, caller: MayIdentify) -> Response:
    """Name faces of which only the vectors are given."""
    query, services = query_of(request), services_of(request)
    count = max(1, number(query, "prediction_count", 1))
    vectors = await _vectors(request, "embeddings")

    def work() -> tuple[list[Decision], float]:
        return _decided(services.engine, vectors, count)

    decisions, threshold = await services.engine.run(work)
    result = [
        {
            "embedding": vector.tolist(),
            "similarities": _similarities(decision, threshold, count),
        }
        for vector, decision in zip(vectors, decisions, strict=True)
    ]
    return json_response({"result": result})


@router.post("/recognition/embeddings/faces/{image}/verify")
async def verify_vectors(request: Request, image: str, caller: MayIdentify) -> Response:
    """Compare vectors with an enrolled photo."""
    services = services_of(request)
    vectors = await _vectors(request, "embeddings")
    _, vector = await services.engine.run(_template, services, number_of(image))
    if vector is None:
        raise RefusedError(44, "Image with this id is not found", 404)
    return await _alike(services, vector, vectors)


@router.post("/verification/embeddings/verify")
async def compare_vectors(request: Request, caller: MayIdentify) -> Response:
    """Compare vectors with each other."""
    services = services_of(request)
    body = (await read_body(request, services.config)).json
    source = _checked(services.engine, [body.get("source")] if isinstance(body, dict) else None, "source")
    targets = _checked(services.engine, body.get("targets"), "targets")
    return await _alike(services, source[0], targets)


async def _alike(services: Services, vector: NDArray[np.float32], others: NDArray[np.float32]) -> Response:
    threshold = await services.engine.run(_threshold, services.engine)
    result: list[dict[str, Any]] = [
        {"embedding": other.tolist(), "similarity": likeness(math.dist(vector, other), threshold)}
        for other in others
    ]
    return json_response({"result": sorted(result, key=lambda entry: -entry["similarity"])})


async def _vectors(request: Request, name: str) -> NDArray[np.float32]:
    services = services_of(request)
    body = (await read_body(request, services.config)).json
    return _checked(services.engine, body.get(name) if isinstance(body, dict) else None, name)


def _checked(engine: Engine, rows: Any, name: str) -> NDArray[np.float32]:
    """Return the vectors of a request, (n, dim) float32 scaled to length 1."""
    dim = engine.extractor.dim
    wanted = f"{name}: expected 1 to {_MOST_VECTORS} lists of {dim} numbers that are not all 0"
    if not isinstance(rows, list) or not 0 < len(rows) <= _MOST_VECTORS:
        raise RefusedError(36, wanted)
    try:
        vectors = np.array(rows, np.float64)
    except (ValueError, TypeError, OverflowError):
        raise RefusedError(36, wanted) from None
    if vectors.shape != (len(rows), dim) or not np.isfinite(vectors).all():
        raise RefusedError(36, wanted)
    vectors /= np.maximum(np.abs(vectors).max(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not lengths.all():
        raise RefusedError(36, wanted)
    unit: NDArray[np.float32] = (vectors / lengths).astype(np.float32)
    return unit


async def _look(request: Request, query: dict[str, str], predictions: int) -> _Looked:
    services, upload = services_of(request), await picture(request)
    least, whole = share(query, "det_prob_threshold"), not is_true(query, "detect_faces", True)
    return await services.engine.run(_looked, services, upload, least, predictions, whole)


def _looked(
    services: Services, upload: Upload, least: float, predictions: int, whole: bool = False
) -> _Looked:
    """Find and embed the faces of a picture, and decide on names if predictions are wanted."""
    engine, begun = services.engine, time.perf_counter()
    pixels, crops = engine.crops(upload.data, upload.name)
    if whole:  # it is a face already
        crops = [Crop(pixels)]
    crops = [crop for crop in crops if probability(crop.quality) >= least]
    if not crops:
        raise RefusedError(28, NO_FACE)
    found = time.perf_counter()
    vectors = engine.extractor.embed([crop.pixels for crop in crops])
    embedded = time.perf_counter()
    decisions: list[Decision] = []
    if predictions:
        decisions, threshold = _decided(engine, vectors, predictions)
        decisions = one_face_per_person(decisions)
        services.metrics.faces(decisions)
    else:
        threshold = _threshold(engine)
    milliseconds = 1000 * (found - begun), 1000 * (embedded - found)
    height, width = pixels.shape[:2]
    return _Looked((height, width), crops, vectors, decisions, threshold, milliseconds)


def _decided(engine: Engine, vectors: NDArray[np.float32], people: int) -> tuple[list[Decision], float]:
    session = engine.session()
    threshold = session.identifier(Options()).threshold
    found = session.gallery.nearest_people(vectors, max(2, people))
    return [decide(candidates, threshold) for candidates in found], threshold


def _threshold(engine: Engine) -> float:
    return engine.session().identifier(Options()).threshold


def _template(services: Services, photo: int | None) -> tuple[str, NDArray[np.float32] | None]:
    """Return the person of an enrolled photo, and its vector; "" and None if it is not there."""
    name = services.people.owners().get(photo or 0)
    if name is None:
        return "", None
    return name, services.people.photo(name, str(photo)).vector


def _similarities(decision: Decision, threshold: float, count: int) -> list[dict[str, Any]]:
    names = [(candidate.identity, candidate.distance) for candidate in decision.candidates[:count]]
    return similarity_list(names, threshold, decision.identity is not None)


def _faces(looked: _Looked, query: dict[str, str], predictions: int) -> dict[str, Any]:
    plugins = {name.strip() for name in query.get("face_plugins", "").split(",")}
    timed = is_true(query, "status")
    result: list[dict[str, Any]] = []
    limit = number(query, "limit", 0) or len(looked.crops)
    for index, crop in enumerate(looked.crops[:limit]):
        face: dict[str, Any] = {"box": box_of(crop.box, crop.quality, looked.size)}
        if predictions:
            face["subjects"] = _similarities(looked.decisions[index], looked.threshold, predictions)
        if "landmarks" in plugins and crop.points is not None:
            face["landmarks"] = np.rint(crop.points).astype(int).tolist()
        if "pose" in plugins and crop.quality is not None:
            face["pose"] = {"pitch": 0.0, "roll": crop.quality.roll, "yaw": crop.quality.yaw}
        if "calculator" in plugins:
            face["embedding"] = looked.vectors[index].tolist()
        if timed:
            finding, embedding = looked.milliseconds
            face["execution_time"] = {"detector": round(finding, 1), "calculator": round(embedding, 1)}
        result.append(face)
    answer: dict[str, Any] = {"result": result}
    if timed:
        answer["plugins_versions"] = {"detector": "yunet", "calculator": "embed"}
    return answer
