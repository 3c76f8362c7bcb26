"""Our own routes for the photo library of a gallery: what waits, decisions, pictures."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Query, Request
from starlette.responses import Response

from embedder._internal.runtime import Progress
from enroll.library.review import State
from enroll.serve.answers import json_response
from enroll.serve.api import PREFIX, PROBLEMS, MayEnroll, MayIdentify, unslashed
from enroll.serve.jobs import facts_of
from enroll.serve.library import Chosen, group_of
from enroll.serve.library_facts import (
    ROOT,
    face_facts,
    group_facts,
    name_facts,
    reasons_of,
    sighting_facts,
    state_facts,
    step_facts,
)
from enroll.serve.library_schemas import (
    Decided,
    DecisionRequest,
    FacesPage,
    GroupRequest,
    GroupSchema,
    GroupsPage,
    LibraryFace,
    LibrarySchema,
    SightingsPage,
    StepsPage,
    SuggestionsPage,
    Undone,
    UndoRequest,
)
from enroll.serve.schemas import JobSchema
from enroll.serve.services import Services, services_of
from enroll.store import Terms
from enroll.store.actor import acting

_HOUR = {"Cache-Control": "private, max-age=3600"}
_JPEG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": {}}, "description": "The picture, without what a camera wrote into it."}
}

router = APIRouter(prefix=ROOT, responses=PROBLEMS, tags=["library"])

Limit = Annotated[int, Query(ge=1, le=1000)]
Offset = Annotated[int, Query(ge=0, le=10**9)]
Names = Annotated[
    int,
    Query(ge=0, le=9, description="Most names suggested for a whole group; the first time takes long."),
]
Shown = Annotated[int, Query(ge=1, le=1000, description="Faces listed of each.")]
FaceNumber = Annotated[int, Path(ge=1, le=2**53)]


@router.get("", response_model=LibrarySchema)
async def get_library(request: Request, caller: MayIdentify) -> Response:
    """Say how much the library holds, what waits, and what undo takes back."""
    services = services_of(request)

    def work() -> dict[str, Any]:
        with services.library.reading() as library:
            return state_facts(library)

    return json_response(await services.engine.run(work))


@router.get("/groups", response_model=GroupsPage)
async def list_groups(
    request: Request,
    caller: MayIdentify,
    limit: Limit = 20,
    offset: Offset = 0,
    faces: Shown = 12,
    least: Annotated[int, Query(ge=1, le=1000, description="Faces a group has at least.")] = 2,
    names: Names = 0,
) -> Response:
    """List groups of unknown faces, the largest first, each with the faces that fit least first."""
    services = services_of(request)

    def work() -> dict[str, Any]:
        with services.library.reading() as library:
            groups = library.groups()
            found = [group for group in groups if len(group.faces) >= least]
            page = found[offset : offset + limit]
            listed: dict[str, Any] = {
                "groups": [group_facts(library, group, group.faces[:faces]) for group in page],
                "total": len(found),
                "alone": sum(len(group.faces) == 1 for group in groups),
                "probably_ignored": len(library.probably_ignored()),
            }
        suggested = services.library.names_of([group.faces for group in page], names)
        with services.library.reading() as library:
            for facts, one in zip(listed["groups"], suggested, strict=True):
                facts["names"] = name_facts(library, one)
        return listed

    return json_response(await services.engine.run(work))


@router.post("/groups", response_model=JobSchema, status_code=202)
async def group_faces(
    request: Request, caller: MayEnroll, wanted: Annotated[GroupRequest | None, Body()] = None
) -> Response:
    """Group the unknown faces; groups that are there stay and grow: a job."""
    services = services_of(request)

    def work(progress: Progress) -> dict[str, int]:
        with progress.bar("Grouping", 1) as advance, acting(caller.journal):
            done = services.library.group(wanted is not None and wanted.again)
            advance()
        return done

    job = services.jobs.start("grouping", work)
    return json_response(facts_of(job), 202, {"Location": f"{PREFIX}/jobs/{job.id}"})


@router.get("/groups/{number}", response_model=GroupSchema)
async def get_group(
    request: Request, number: FaceNumber, caller: MayIdentify, limit: Limit = 1000, offset: Offset = 0
) -> Response:
    """Give the faces of a group, those that fit least first."""
    services = services_of(request)

    def work() -> dict[str, Any]:
        with services.library.reading() as library:
            group = group_of(library, number)
            return group_facts(library, group, group.faces[offset : offset + limit])

    return json_response(await services.engine.run(work))


@router.get("/suggestions", response_model=SuggestionsPage)
async def list_suggestions(
    request: Request,
    caller: MayIdentify,
    name: Annotated[str | None, Query(max_length=1000, description="Of one person only.")] = None,
    limit: Limit = 20,
    offset: Offset = 0,
    faces: Shown = 12,
    names: Names = 0,
) -> Response:
    """List people with unknown faces that are probably theirs, the most doubtful first, and why."""
    services = services_of(request)

    def work() -> dict[str, Any]:
        suggested = services.library.suggestions()
        by_name: dict[str, list[tuple[float, int]]] = {}
        for number, one in suggested.items():
            if name in (None, one.name):
                by_name.setdefault(one.name, []).append((-one.distance, number))
        order = sorted(by_name, key=lambda person: (-len(by_name[person]), person))
        page = {person: sorted(by_name[person]) for person in order[offset : offset + limit]}
        shown = {number: suggested[number] for rows in page.values() for _, number in rows[:faces]}
        threshold = services.library.threshold()
        others = services.library.names_of([[number for _, number in rows] for rows in page.values()], names)
        with services.library.reading() as library:
            reasons = reasons_of(library, shown, threshold)
            return {
                "people": [
                    {
                        "name": person,
                        "size": len(rows),
                        "ids": [number for _, number in rows],
                        "faces": [
                            face_facts(library, number, reasons.get(number))
                            for _, number in rows[:faces]
                            if number in library.faces
                        ],
                        "names": name_facts(library, some, person),
                    }
                    for (person, rows), some in zip(page.items(), others, strict=True)
                ],
                "total": len(by_name),
                "faces": sum(map(len, by_name.values())),
                "threshold": threshold,
            }

    return json_response(await services.engine.run(work))


@router.get("/faces", response_model=FacesPage)
async def list_faces(
    request: Request,
    caller: MayIdentify,
    state: Annotated[State | None, Query(description="Of one state.")] = None,
    name: Annotated[str | None, Query(max_length=1000, description="Confirmed as this person.")] = None,
    limit: Limit = 100,
    offset: Offset = 0,
) -> Response:
    """List faces and what was decided about them."""
    services = services_of(request)

    def work() -> dict[str, Any]:
        with services.library.reading() as library:
            found = [
                number
                for number in library.faces
                if state in (None, library.state(number))
                and (name is None or library.names.get(number) == name)
            ]
            page = found[offset : offset + limit]
            return {"faces": [face_facts(library, number) for number in page], "total": len(found)}

    return json_response(await services.engine.run(work))


@router.get("/faces/{number}", response_model=LibraryFace)
async def get_face(request: Request, number: FaceNumber, caller: MayIdentify) -> Response:
    """Give what is known of a face, and why a name is suggested for it."""
    services = services_of(request)

    def work() -> dict[str, Any]:
        suggested = services.library.suggestions()
        threshold = services.library.threshold()
        with services.library.reading() as library:
            services.library.check_face(library, number)
            shown = {number: suggested[number]} if number in suggested else {}
            return face_facts(library, number, reasons_of(library, shown, threshold).get(number))

    return json_response(await services.engine.run(work))


@router.get("/faces/{number}/crop", response_class=Response, responses=_JPEG)
async def show_face(request: Request, number: FaceNumber, caller: MayIdentify) -> Response:
    """Show a face, cut out of its photo."""
    services = services_of(request)
    data = await services.engine.run(services.library.crop, number)
    return Response(data, media_type="image/jpeg", headers=_HOUR)


@router.get("/faces/{number}/photo", response_class=Response, responses=_JPEG)
async def show_photo(request: Request, number: FaceNumber, caller: MayEnroll) -> Response:
    """Show the photo that a face is in, made small: more than a face, so it takes the scope enroll."""
    services = services_of(request)
    data = await services.engine.run(services.library.photo, number)
    return Response(data, media_type="image/jpeg", headers=_HOUR)


@router.get("/people/{name:path}/photos", response_model=SightingsPage)
async def find_photos(
    request: Request,
    name: str,
    caller: MayIdentify,
    confirmed: Annotated[bool, Query(description="Only what someone has confirmed.")] = False,
    limit: Limit = 100,
    offset: Offset = 0,
) -> Response:
    """List every photo of a person, by date."""
    services, name = services_of(request), unslashed(name)

    def work() -> dict[str, Any]:
        found = services.library.photos_of(name, confirmed)
        photos = [sighting_facts(one) for one in found[offset : offset + limit]]
        return {"name": name, "photos": photos, "total": len(found)}

    return json_response(await services.engine.run(work))


@router.get("/decisions", response_model=StepsPage)
async def list_decisions(
    request: Request, caller: MayIdentify, limit: Limit = 100, offset: Offset = 0
) -> Response:
    """List the decisions that can be undone, the last one first."""
    services = services_of(request)

    def work() -> dict[str, Any]:
        with services.library.reading() as library:
            steps = library.reviewed.open[::-1]
            page = [step_facts(library, step) for step in steps[offset : offset + limit]]
            return {"steps": page, "total": len(steps)}

    return json_response(await services.engine.run(work))


@router.post("/decisions", response_model=Decided, status_code=201)
async def decide(request: Request, caller: MayEnroll, wanted: DecisionRequest) -> Response:
    """Decide about faces or whole groups; answered when it is on the disk.

    What takes a face away from someone who is enrolled takes the scope administer.
    """
    services = services_of(request)
    chosen = Chosen(tuple(wanted.faces), tuple(wanted.groups), tuple(wanted.left_out))
    given = wanted.terms
    terms = Terms(given.consent, given.consent_date, given.expires) if given else None

    def work() -> dict[str, Any]:
        what, added = services.library.decide(wanted.do, chosen, wanted.name, terms, caller)
        services.metrics.enrolled(added)
        return {"what": what, "added": added, "library": state_of(services)}

    return json_response(await services.engine.run(work), 201)


@router.post("/undo", response_model=Undone)
async def undo(
    request: Request, caller: MayEnroll, wanted: Annotated[UndoRequest | None, Body()] = None
) -> Response:
    """Take the last decisions back, also after a restart; if there is none, nothing happens.

    What another key decided, and that two people are one, takes the scope administer.
    """
    services = services_of(request)
    steps = (wanted or UndoRequest()).steps

    def work() -> dict[str, Any]:
        return {"undone": services.library.undo(steps, caller), "library": state_of(services)}

    return json_response(await services.engine.run(work))


def state_of(services: Services) -> dict[str, Any]:
    """Return counts of the library of a server, as a dict for JSON."""
    with services.library.reading() as library:
        return state_facts(library)
