"""The routes of CompreFace for people and their photos: add, list, show, rename, delete."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from embedder.errors import UnknownIdentityError
from enroll.serve.access import Caller
from enroll.serve.answers import json_response
from enroll.serve.compreface_shapes import (
    NO_FACE,
    RefusedError,
    image_id,
    number,
    number_of,
    picture,
    query_of,
    share,
    subject_of,
    unslashed,
)
from enroll.serve.engine import Engine
from enroll.serve.problems import ProblemError
from enroll.serve.services import Services, needs, services_of
from enroll.serve.similarity import probability
from enroll.serve.uploads import Upload, read_body
from enroll.store import StoredTemplate

router = APIRouter(prefix="/api/v1", include_in_schema=False)

MayIdentify = Annotated[Caller, Depends(needs("identify"))]
MayEnroll = Annotated[Caller, Depends(needs("enroll"))]
MayAdminister = Annotated[Caller, Depends(needs("administer"))]

_MOST_ANNOUNCED = 1000


@router.post("/recognition/faces")
async def add_face(request: Request, caller: MayEnroll) -> Response:
    """Enroll the face of a picture."""
    query = query_of(request)
    name = subject_of(query.get("subject"))
    services, upload = services_of(request), await picture(request)
    least = share(query, "det_prob_threshold")
    found = await services.engine.run(_found, services.engine, upload, least)
    if found > 1:
        raise RefusedError(31, "Found more than one face in the given image")
    done = await services.engine.run(services.people.enroll, name, [upload], True, None, caller)
    if done.conflict:
        raise RefusedError(0, done.rejected[0][1])
    if done.rejected:
        raise RefusedError(28, NO_FACE)
    stored = list(done.added) or await services.engine.run(_same, services, done.name, upload)
    if not stored:
        raise RefusedError(0, "the person was erased meanwhile")
    return json_response({"image_id": image_id(stored[0].id), "subject": done.name}, 201)


@router.get("/recognition/faces")
async def list_faces(request: Request, caller: MayIdentify) -> Response:
    """List enrolled photos, a page of them."""
    query, services = query_of(request), services_of(request)
    page, size = number(query, "page", 0), number(query, "size", 20)
    if size < 1:
        raise RefusedError(26, "size: expected 1 or more")
    owners = await services.engine.run(services.people.owners)
    wanted = query.get("subject")
    listed = [(photo, name) for photo, name in owners.items() if wanted in (None, name)]
    faces = [{"image_id": image_id(photo), "subject": name} for photo, name in listed]
    return json_response(
        {
            "faces": faces[page * size : (page + 1) * size],
            "page_number": page,
            "page_size": size,
            "total_pages": -(-len(faces) // size),
            "total_elements": len(faces),
        }
    )


@router.delete("/recognition/faces")
async def delete_faces(request: Request, caller: MayAdminister) -> Response:
    """Erase all photos of one person, or of everyone."""
    query, services = query_of(request), services_of(request)

    def work() -> int:
        wanted = query.get("subject")
        names = [one.name for one in services.people.everyone() if not wanted or one.name == wanted]
        return sum(_removed(services, name, caller) for name in names)

    return json_response({"deleted": await services.engine.run(work)})


@router.post("/recognition/faces/delete")
async def delete_some_faces(request: Request, caller: MayAdminister) -> Response:
    """Erase some photos; ids that are not there are passed over."""
    services = services_of(request)
    body = await read_body(request, services.config)
    if not isinstance(body.json, list) or not all(isinstance(entry, str) for entry in body.json):
        raise RefusedError(36, "expected a JSON array of image ids")
    wanted = [photo for entry in body.json if (photo := number_of(entry)) is not None]
    return json_response(await services.engine.run(_dropped, services, wanted, caller))


@router.delete("/recognition/faces/{image}")
async def delete_face(request: Request, image: str, caller: MayAdminister) -> Response:
    """Erase one photo."""
    services, photo = services_of(request), number_of(image)
    gone = await services.engine.run(_dropped, services, [photo] if photo else [], caller)
    if not gone:
        raise RefusedError(44, "Image with this id is not found", 404)
    return json_response(gone[0])


@router.get("/recognition/faces/{image}/img")
async def show_face(request: Request, image: str, caller: MayIdentify) -> Response:
    """Show the face of a photo; nothing, if it is not there."""
    services, photo = services_of(request), number_of(image)

    def work() -> bytes:
        name = services.people.owners().get(photo or 0)
        return services.people.crop(name, str(photo)) if name else b""

    try:
        data = await services.engine.run(work)
    except ProblemError:
        data = b""
    return Response(data, media_type="application/octet-stream")


@router.post("/recognition/subjects")
async def addsubject_of(request: Request, caller: MayEnroll) -> Response:
    """Remember a name; the person is in the gallery from their first photo on."""
    services = services_of(request)
    body = await read_body(request, services.config)
    name = subject_of(body.json.get("subject") if isinstance(body.json, dict) else None)
    if name in await services.engine.run(_subjects, services):
        raise RefusedError(43, f"Subject '{name}' already exists")
    services.announced[name] = None
    for oldest in list(services.announced)[:-_MOST_ANNOUNCED]:
        del services.announced[oldest]
    return json_response({"subject": name}, 201)


@router.get("/recognition/subjects")
@router.get("/recognition/subjects/")
async def list_subjects(request: Request, caller: MayIdentify) -> Response:
    """List who is enrolled, and names that were added without a photo."""
    services = services_of(request)
    return json_response({"subjects": await services.engine.run(_subjects, services)})


@router.put("/recognition/subjects/{subject}")
async def renamesubject_of(request: Request, subject: str, caller: MayAdminister) -> Response:
    """Give a person another name; one that is enrolled takes over the photos."""
    services = services_of(request)
    body = await read_body(request, services.config)
    old = subject_of(unslashed(subject))
    new = subject_of(body.json.get("subject") if isinstance(body.json, dict) else None)

    def work() -> bool:
        enrolled = {one.name for one in services.people.everyone()}
        if old not in enrolled and old not in services.announced:
            raise RefusedError(42, f"Subject '{old}' is not found", 404)
        if new == old:
            return False
        if old not in enrolled:
            services.announced[new] = None
        elif new in enrolled:
            services.people.merge(new, old, caller)
        else:
            services.people.rename(old, new, caller)
        services.announced.pop(old, None)
        return True

    return json_response({"updated": await services.engine.run(work)})


@router.delete("/recognition/subjects/{subject}")
async def deletesubject_of(request: Request, subject: str, caller: MayAdminister) -> Response:
    """Erase a person."""
    services, name = services_of(request), subject_of(unslashed(subject))

    def work() -> None:
        announced = services.announced.pop(name, "") is None
        if not announced or any(one.name == name for one in services.people.everyone()):
            services.people.remove(name, caller)

    await services.engine.run(work)
    return json_response({"subject": name})


@router.delete("/recognition/subjects")
@router.delete("/recognition/subjects/")
async def delete_subjects(request: Request, caller: MayAdminister) -> Response:
    """Erase everyone; gives how many people there were."""
    services = services_of(request)

    def work() -> int:
        everyone = services.people.everyone()
        services.announced.clear()
        return sum(_removed(services, one.name, caller) > 0 for one in everyone)

    return json_response({"deleted": await services.engine.run(work)})


def _subjects(services: Services) -> list[str]:
    """Return all names, sorted."""
    return sorted({one.name for one in services.people.everyone()} | set(services.announced))


def _removed(services: Services, name: str, caller: Caller) -> int:
    """Erase a person, and return the number of photos; 0 if there is no one of that name, or no longer."""
    try:
        return services.people.remove(name, caller)
    except UnknownIdentityError:
        return 0


def _found(engine: Engine, upload: Upload, least: float) -> int:
    """Count the faces of a picture."""
    _, crops = engine.crops(upload.data, upload.name)
    if not (found := [crop for crop in crops if probability(crop.quality) >= least]):
        raise RefusedError(28, NO_FACE)
    return len(found)


def _same(services: Services, name: str, upload: Upload) -> list[StoredTemplate]:
    """Return the photo whose picture is the same as an upload; none of someone who was erased since."""
    digest = sha256(upload.data).digest()
    with suppress(UnknownIdentityError):
        return [photo for photo in services.people.photos(name) if photo.digest == digest]
    return []


def _dropped(services: Services, photos: Sequence[int], caller: Caller) -> list[dict[str, Any]]:
    """Erase photos, and return those that were there."""
    owners = services.people.owners()
    gone: list[StoredTemplate] = []
    said = []
    for photo in dict.fromkeys(photos):
        name = owners.get(photo)
        try:
            stored = services.people.photo(name, str(photo)) if name else None
        except (UnknownIdentityError, ProblemError):  # erased since
            continue
        if name and stored:
            gone.append(stored)
            said.append({"image_id": image_id(photo), "subject": name})
    if gone:
        services.people.drop(gone, caller)
    return said
