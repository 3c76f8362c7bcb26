"""Our own routes for pictures and people: identify, enroll, show, change, erase."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from embedder._internal.wording import count
from enroll.config import IdentifyConfig
from enroll.report import answers as report
from enroll.serve.access import Caller
from enroll.serve.answers import json_response
from enroll.serve.cutting import box_of_text, cut_around
from enroll.serve.engine import EXPLAINED, Options
from enroll.serve.people import Enrolment, is_expired
from enroll.serve.problems import MEDIA_TYPE, ProblemError
from enroll.serve.schemas import (
    EnrolledSchema,
    Identified,
    Merge,
    Merged,
    PeoplePage,
    PersonDetail,
    PersonSchema,
    PhotosOf,
    ProblemSchema,
    Removed,
    Rename,
    TermsSchema,
)
from enroll.serve.services import needs, services_of
from enroll.serve.uploads import Body, Upload, from_base64, read_body
from enroll.store import Person, StoredTemplate, Terms

PREFIX = "/api/v1"
PROBLEM = {"model": ProblemSchema, "content": {MEDIA_TYPE: {}}}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": PROBLEM | {"description": "RefusedError, with the reason."}
}

_PICTURE = {"type": "string", "format": "binary"}
_PICTURES = {"type": "array", "items": _PICTURE, "minItems": 1}


def form_of(**properties: Any) -> dict[str, Any]:
    """Return the OpenAPI description of a form with some properties."""
    form = {"schema": {"type": "object", "properties": properties, "required": ["photos"]}}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": form}}}


_IDENTIFY_BODY = form_of(photos=_PICTURES)
_IDENTIFY_BODY["requestBody"]["content"] |= {
    "image/*": {"schema": _PICTURE},
    "application/json": {
        "schema": {
            "type": "object",
            "properties": {
                "photos": {"type": "array", "items": {"type": "string", "contentEncoding": "base64"}}
            },
        }
    },
}
_TERMS_FIELDS = {
    "force": {"type": "boolean", "description": "Enroll also faces that are too poor."},
    "box": {
        "type": "string",
        "description": "x,y,width,height of the face to enroll, as an answer of identify has it; else the "
        "largest, most central one. The part of the picture around it is enrolled. For one picture.",
        "example": "40,32,100,136",
    },
    "consent": {"type": "string", "description": "Where their consent is kept."},
    "consent_date": {"type": "string", "format": "date"},
    "expires": {"type": "string", "format": "date", "description": "The last day on which they are named."},
}

router = APIRouter(prefix=PREFIX, responses=PROBLEMS)

MayIdentify = Annotated[Caller, Depends(needs("identify"))]
MayEnroll = Annotated[Caller, Depends(needs("enroll"))]
MayAdminister = Annotated[Caller, Depends(needs("administer"))]


@router.post("/identify", response_model=Identified, openapi_extra=_IDENTIFY_BODY, tags=["identify"])
async def identify(
    request: Request,
    caller: MayIdentify,
    explain: Annotated[
        bool, Query(description="Give the nearest enrolled photos, and what speaks for the answer.")
    ] = False,
    threshold: Annotated[
        float | None, Query(ge=0, le=2, description="Largest distance at which a name is given.")
    ] = None,
    margin: Annotated[
        float, Query(ge=0, le=2, description="How much farther the second person must be; else: ambiguous.")
    ] = IdentifyConfig.margin,
    candidates: Annotated[
        int, Query(ge=1, le=100, description="People listed per face.")
    ] = IdentifyConfig.candidates,
    all_faces: Annotated[
        bool, Query(description="Answer every face, else the largest, most central one.")
    ] = True,
) -> Response:
    """Say who is in one or several pictures: a name, or unknown and why.

    Each answer is the object of `embed identify --json`. A picture that cannot be read has an `error` and the
    others are answered; if none can be read, the request is refused.
    """
    services = services_of(request)
    photos = pictures_of(await read_body(request, services.config), request)
    config = IdentifyConfig(
        candidates=candidates, margin=margin, all_faces=all_faces, neighbours=EXPLAINED if explain else 0
    )
    named = [(upload.name, upload.data) for upload in photos]
    answers, basis = await services.engine.identify(named, Options(threshold, config))
    services.metrics.answers(answers)
    if all(answer.error for answer in answers):
        errors = [{"photo": answer.photo, "reason": answer.error} for answer in answers]
        raise ProblemError("unusable", f"{answers[0].photo}: {answers[0].error}", errors=errors)
    return json_response(
        {
            "answers": [json.loads(report.to_json(answer, basis)) for answer in answers],
            "threshold": basis.distance,
            "promise": basis.describe(),
            "explanations": [report.explain(answer, basis) for answer in answers] if explain else None,
        }
    )


@router.get("/people", response_model=PeoplePage, tags=["people"])
async def list_people(
    request: Request,
    caller: MayIdentify,
    search: Annotated[str, Query(max_length=200, description="Text that the name has, in any case.")] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Annotated[int, Query(ge=0, le=10**9)] = 0,
) -> Response:
    """List who is enrolled, by name."""
    services = services_of(request)
    everyone = await services.engine.run(services.people.everyone)
    found = [one for one in everyone if search.casefold() in one.name.casefold()]
    page = found[offset : offset + limit]
    return json_response({"people": list(map(person_facts, page)), "total": len(found)})


@router.post(
    "/people",
    response_model=EnrolledSchema,
    status_code=201,
    openapi_extra=form_of(name={"type": "string"}, photos=_PICTURES, **_TERMS_FIELDS),
    tags=["people"],
)
async def enroll_person(request: Request, caller: MayEnroll) -> Response:
    """Enroll pictures of one person, new or known, whose name is in the form."""
    body = await read_body(request, services_of(request).config)
    name = body.value("name") or (body.json or {}).get("name", "") if not body.fields else body.value("name")
    return await _enroll(request, str(name), body, caller)


@router.post(
    "/people/{name:path}/photos",
    response_model=EnrolledSchema,
    status_code=201,
    openapi_extra=form_of(photos=_PICTURES, **_TERMS_FIELDS),
    tags=["photos"],
)
async def add_photos(request: Request, name: str, caller: MayEnroll) -> Response:
    """Enroll pictures of one person, new or known. Of each the largest, most central face is taken.

    A picture that is already theirs changes nothing. Answered when it is on the disk: 201 if anything was
    added, 200 if all were there before. If nothing could be used, the request is refused with the reasons.
    """
    body = await read_body(request, services_of(request).config)
    return await _enroll(request, unslashed(name), body, caller)


@router.get("/people/{name:path}/photos", response_model=PhotosOf, tags=["photos"])
async def list_photos(request: Request, name: str, caller: MayIdentify) -> Response:
    """List the photos of a person."""
    services, name = services_of(request), unslashed(name)
    photos = await services.engine.run(services.people.photos, name)
    return json_response({"name": name, "photos": [photo_facts(name, photo) for photo in photos]})


@router.get(
    "/people/{name:path}/photos/{number}/crop",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}, "description": "The face."}},
    tags=["photos"],
)
async def show_crop(request: Request, name: str, number: str, caller: MayIdentify) -> Response:
    """Show the face of a photo, as the network sees it."""
    services = services_of(request)
    data = await services.engine.run(services.people.crop, unslashed(name), number)
    return Response(data, media_type="image/png", headers={"Cache-Control": "private, max-age=3600"})


@router.delete("/people/{name:path}/photos/{number}", response_model=Removed, tags=["photos"])
async def remove_photo(request: Request, name: str, number: str, caller: MayAdminister) -> Response:
    """Erase one photo of a person; with the last one the person goes, too."""
    services = services_of(request)

    def work() -> int:
        return services.people.drop([services.people.photo(unslashed(name), number)], caller)

    return json_response({"removed": await services.engine.run(work)})


@router.post("/people/{name:path}/rename", response_model=PersonSchema, tags=["people"])
async def rename_person(request: Request, name: str, new: Rename, caller: MayAdminister) -> Response:
    """Give a person another name, which no one has yet."""
    services = services_of(request)

    def work() -> Person:
        return services.people.person(services.people.rename(unslashed(name), new.name, caller))

    return json_response(person_facts(await services.engine.run(work)))


@router.post("/people/{name:path}/merge", response_model=Merged, tags=["people"])
async def merge_people(request: Request, name: str, merge: Merge, caller: MayAdminister) -> Response:
    """Join two people who are one: all photos of the other become this person's, whose name stays."""
    services, kept = services_of(request), unslashed(name)
    moved = await services.engine.run(services.people.merge, kept, merge.other, caller)
    return json_response({"name": kept, "moved": moved})


@router.put("/people/{name:path}/terms", response_model=PersonSchema, tags=["people"])
async def set_terms(request: Request, name: str, terms: TermsSchema, caller: MayAdminister) -> Response:
    """Replace on what terms a person is in the gallery; what is left out is taken away."""
    services, name = services_of(request), unslashed(name)
    wanted = Terms(terms.consent, terms.consent_date, terms.expires)

    def work() -> Person:
        services.people.set_terms(name, wanted, caller)
        return services.people.person(name)

    return json_response(person_facts(await services.engine.run(work)))


@router.get("/people/{name:path}", response_model=PersonDetail, tags=["people"])
async def get_person(request: Request, name: str, caller: MayIdentify) -> Response:
    """Give one person and their photos."""
    services, name = services_of(request), unslashed(name)

    def work() -> tuple[Person, list[StoredTemplate]]:
        return services.people.person(name), services.people.photos(name)

    person, photos = await services.engine.run(work)
    pictures = [photo_facts(person.name, photo) for photo in photos]
    return json_response(person_facts(person) | {"pictures": pictures})


@router.delete("/people/{name:path}", response_model=Removed, tags=["people"])
async def remove_person(request: Request, name: str, caller: MayAdminister) -> Response:
    """Erase a person, their photos, and the pictures that are kept of them."""
    services = services_of(request)
    count = await services.engine.run(services.people.remove, unslashed(name), caller)
    return json_response({"removed": count})


async def _enroll(request: Request, name: str, body: Body, caller: Caller) -> Response:
    services = services_of(request)
    photos = pictures_of(body, request)
    given = body.json if isinstance(body.json, dict) else {}
    fields = {key.lower(): value for key, value in {**given, **body.fields}.items()}
    if box := str(fields.get("box") or ""):
        if len(photos) != 1:
            raise ProblemError("bad-request", f"box: expected one picture with it, got {len(photos)}")
        photos = [await services.engine.run(cut_around, photos[0], box_of_text(box))]
    force = str(fields.get("force", "")).lower() in ("true", "1", "yes", "on")
    done = await services.engine.run(services.people.enroll, name, photos, force, terms_of(fields), caller)
    if done.rejected and not done.added and not done.already:
        errors = [{"photo": photo, "reason": reason} for photo, reason in done.rejected]
        photo, reason = done.rejected[0]
        raise ProblemError("conflict" if done.conflict else "unusable", f"{photo}: {reason}", errors=errors)
    return json_response(enrolled_facts(done), 201 if done.added else 200)


def pictures_of(body: Body, request: Request) -> list[Upload]:
    """Return the pictures in a request.

    Raises:
        ProblemError: there are none, or too many.
    """
    config = services_of(request).config
    photos = list(body.files)
    if isinstance(body.json, dict) and isinstance(body.json.get("photos"), list):
        listed = body.json["photos"]
        if len(listed) > config.max_photos:
            raise ProblemError(
                "too-large", f"expected at most {count(config.max_photos, 'picture')}, got {len(listed)}"
            )
        photos += [from_base64(text, config, f"photos[{n}]") for n, text in enumerate(listed)]
    if not photos:
        raise ProblemError(
            "bad-request", "expected pictures: files of a multipart form, the body itself, or base64 in JSON"
        )
    return photos


def terms_of(fields: Mapping[str, Any]) -> Terms | None:
    """Return the terms in a form, None if it has none.

    Raises:
        ProblemError: a date is none.
    """

    def day(name: str) -> date | None:
        text = str(fields.get(name) or "")
        try:
            return date.fromisoformat(text) if text else None
        except ValueError:
            raise ProblemError("bad-request", f"{name}: expected YYYY-MM-DD, got {text[:40]!r}") from None

    consent = fields.get("consent")
    terms = Terms(str(consent) if consent else None, day("consent_date"), day("expires"))
    return None if terms == Terms() else terms


def unslashed(name: str) -> str:
    """Return a name from a path, in which `Guard` has put a NUL for each slash of the name itself."""
    return name.replace("\0", "/")


def person_facts(person: Person) -> dict[str, Any]:
    """Convert a person to a dict for JSON."""
    terms = person.terms
    return {
        "name": person.name,
        "photos": person.templates,
        "terms": {
            "consent": terms.consent,
            "consent_date": terms.consent_date.isoformat() if terms.consent_date else None,
            "expires": terms.expires.isoformat() if terms.expires else None,
        },
        "expired": is_expired(terms),
    }


def photo_facts(name: str, photo: StoredTemplate) -> dict[str, Any]:
    """Convert a photo to a dict for JSON."""
    return {
        "id": str(photo.id),
        "sha256": photo.digest.hex(),
        "photo": photo.photo,
        "crop": f"{PREFIX}/people/{quote(name, safe='')}/photos/{photo.id}/crop",
    }


def enrolled_facts(done: Enrolment) -> dict[str, Any]:
    """Convert the result of enrolling to a dict for JSON."""
    return {
        "name": done.name,
        "added": len(done.added),
        "already": done.already,
        "rejected": [{"photo": photo, "reason": reason} for photo, reason in done.rejected],
        "photos": [photo_facts(done.name, photo) for photo in done.added],
        "notes": list(done.notes),
    }
