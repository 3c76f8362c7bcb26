"""Our own routes for the gallery as a whole: calibration, evaluation, doctor, model, jobs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request
from starlette.responses import Response, StreamingResponse

from enroll.config import EvaluationConfig
from enroll.gallery.threshold import ThresholdSource
from enroll.serve import tasks
from enroll.serve.answers import json_response
from enroll.serve.api import PREFIX, PROBLEMS, MayAdminister, MayEnroll, MayIdentify, form_of, pictures_of
from enroll.serve.engine import Options
from enroll.serve.jobs import OVER, Job, facts_of
from enroll.serve.people import is_expired
from enroll.serve.problems import ProblemError
from enroll.serve.schemas import (
    CalibrationRequest,
    CalibrationSchema,
    DoctorRequest,
    EvaluationRequest,
    FolderRequest,
    GallerySchema,
    JobList,
    JobSchema,
    ModelSchema,
    ReembedRequest,
)
from enroll.serve.services import services_of
from enroll.serve.uploads import Upload, read_body

_JOURNAL = 100  # entries
_POLL = 0.2  # seconds between two checks of a job that is followed
_ALIVE = 15.0  # seconds after which a line is sent, so that no proxy takes the silence for an end

router = APIRouter(prefix=PREFIX, responses=PROBLEMS)

_FILES = {
    "type": "array",
    "items": {"type": "string", "format": "binary"},
    "description": "Each file's name is PERSON/FILE, as a browser gives those of a folder.",
}


@router.get("/calibration", response_model=CalibrationSchema, tags=["gallery"])
async def get_calibration(request: Request, caller: MayIdentify) -> Response:
    """Give the threshold of now, and what it promises."""
    engine = services_of(request).engine

    def work() -> ThresholdSource:
        return engine.session().identifier(Options()).basis

    basis = await engine.run(work)
    return json_response(
        {
            "threshold": basis.distance,
            "calibrated": basis.source == "gallery",
            "sentence": basis.describe(),
            "warning": basis.warning,
            "facts": basis.to_dict(),
            "set_aside": [],
        }
    )


@router.post("/calibration", response_model=JobSchema, status_code=202, tags=["gallery"])
async def calibrate(
    request: Request,
    caller: MayAdminister,
    wanted: Annotated[CalibrationRequest | None, Body()] = None,
) -> Response:
    """Find the threshold that names at most so many strangers in this gallery, and keep it: a job."""
    services = services_of(request)
    return _started(
        request,
        "calibration",
        tasks.calibrate(services.engine, (wanted or CalibrationRequest()).fpir, caller),
    )


@router.get("/evaluation", response_model=JobSchema, tags=["gallery"])
async def get_evaluation(request: Request, caller: MayIdentify) -> Response:
    """Give the newest evaluation of this server."""
    return _last(request, "evaluation")


@router.post("/evaluation", response_model=JobSchema, status_code=202, tags=["gallery"])
async def evaluate(
    request: Request,
    caller: MayAdminister,
    wanted: Annotated[EvaluationRequest | None, Body()] = None,
) -> Response:
    """Measure on the gallery's own photos how often people are named, and strangers too: a job."""
    wanted = wanted or EvaluationRequest()
    config = EvaluationConfig(wanted.splits, wanted.known, None, wanted.seed)
    return _started(request, "evaluation", tasks.evaluate_gallery(services_of(request).engine, config))


@router.get("/doctor", response_model=JobSchema, tags=["gallery"])
async def get_examination(request: Request, caller: MayIdentify) -> Response:
    """Give the newest examination of this server; each finding has the request that fixes it."""
    return _last(request, "doctor")


@router.post("/doctor", response_model=JobSchema, status_code=202, tags=["gallery"])
async def examine(
    request: Request, caller: MayAdminister, wanted: Annotated[DoctorRequest | None, Body()] = None
) -> Response:
    """Find wrong photos, double names, and people who are easily confused: a job."""
    return _started(
        request, "doctor", tasks.examine(services_of(request).engine, wanted is not None and wanted.photos)
    )


@router.get("/model", response_model=ModelSchema, tags=["gallery"])
async def get_model(request: Request, caller: MayIdentify) -> Response:
    """Say which network is used."""
    manifest = services_of(request).engine.extractor.manifest
    return json_response(
        {
            "trunk": manifest.trunk,
            "fingerprint": manifest.fingerprint,
            "dim": manifest.dim,
            "crop": manifest.crop,
            "input_size": manifest.input_size,
            "strangers": asdict(manifest.strangers) if manifest.strangers else None,
        }
    )


@router.get("/gallery", response_model=GallerySchema, tags=["gallery"])
async def get_gallery(request: Request, caller: MayIdentify) -> Response:
    """Say how much is enrolled, and what was done to it last."""
    services = services_of(request)

    def work() -> dict[str, Any]:
        store = services.engine.session().store
        people = store.people()
        return {
            "people": len(people),
            "photos": sum(person.templates for person in people),
            "strangers": len(store.strangers().ids),
            "expired": sum(is_expired(person.terms) for person in people),
            "encrypted": bool(getattr(store, "encrypted", False)),
            "keeps_photos": services.people.keeps_photos,
            "folders": [Path(folder).name for folder in services.config.folders],
            "journal": [
                {"at": event.at, "action": event.action, "subject": event.subject, "photos": event.count}
                for event in store.events()[-_JOURNAL:]
            ],
        }

    return json_response(await services.engine.run(work))


@router.get("/jobs", response_model=JobList, tags=["jobs"])
async def list_jobs(request: Request, caller: MayAdminister) -> Response:
    """List the jobs of this server, the newest first."""
    return json_response({"jobs": [facts_of(job) for job in services_of(request).jobs.all()]})


@router.post(
    "/jobs/enroll",
    response_model=JobSchema,
    status_code=202,
    openapi_extra=form_of(photos=_FILES, force={"type": "boolean"}),
    tags=["jobs"],
)
async def enroll_many(request: Request, caller: MayEnroll) -> Response:
    """Enroll pictures of many people, each in a folder of their name: a job.

    A large folder is sent in several requests; what was enrolled once changes nothing.
    """
    services = services_of(request)
    body = await read_body(request, services.config)
    force = body.value("force").lower() in ("true", "1", "yes", "on")
    by_name: dict[str, list[Upload]] = {}
    for upload in pictures_of(body, request):
        if not upload.folder:
            raise ProblemError(
                "bad-request", f"{upload.name}: expected a file name PERSON/FILE, got one without a person"
            )
        by_name.setdefault(upload.folder, []).append(upload)
    return _started(request, "enroll", tasks.enroll_uploads(services.people, by_name, force, caller))


@router.post("/jobs/enroll-folder", response_model=JobSchema, status_code=202, tags=["jobs"])
async def enroll_folder(request: Request, caller: MayEnroll, wanted: FolderRequest) -> Response:
    """Enroll a folder that the operator named when the server was started: a job."""
    services = services_of(request)
    known = {Path(folder).name: Path(folder) for folder in services.config.folders}
    if (folder := known.get(wanted.folder)) is None:
        listed = ", ".join(map(repr, known)) or "none; `embed serve --folder DIR` allows one"
        raise ProblemError("not-found", f"no such folder may be enrolled; there are: {listed}")
    work = tasks.enroll_folder(services.engine, folder, wanted.force, caller)
    return _started(request, "enroll-folder", work)


@router.post("/jobs/re-embed", response_model=JobSchema, status_code=202, tags=["jobs"])
async def re_embed(
    request: Request, caller: MayAdminister, wanted: Annotated[ReembedRequest | None, Body()] = None
) -> Response:
    """Make the gallery again from its photos with the model of this server; names and terms stay: a job."""
    return _started(
        request,
        "re-embed",
        tasks.re_embed(services_of(request).engine, wanted is not None and wanted.force, caller),
    )


@router.get("/jobs/{number}", response_model=JobSchema, tags=["jobs"])
async def get_job(request: Request, number: str, caller: MayEnroll) -> Response:
    """Say how far a job is, or what it came to."""
    return json_response(facts_of(services_of(request).jobs.get(number)))


@router.delete("/jobs/{number}", response_model=JobSchema, tags=["jobs"])
async def cancel_job(request: Request, number: str, caller: MayAdminister) -> Response:
    """End a job at its next step; what it has done stays."""
    return json_response(facts_of(services_of(request).jobs.cancel(number)))


@router.get(
    "/jobs/{number}/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "A `job` event a change."}},
    tags=["jobs"],
)
async def follow_job(request: Request, number: str, caller: MayEnroll) -> Response:
    """Follow a job by server-sent events, each with the job as JSON, until it is over."""
    services_of(request).jobs.get(number)
    return StreamingResponse(
        _events(request, number), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
    )


async def _events(request: Request, number: str) -> AsyncIterator[str]:
    services = services_of(request)
    sent, quiet = "", 0.0
    while not services.engine.stopping.is_set():
        try:
            job = services.jobs.get(number)
        except ProblemError:  # forgotten
            return
        facts = facts_of(job)  # a snapshot: the job continues
        text = json.dumps(facts, allow_nan=False)
        if text != sent:
            sent, quiet = text, 0.0
            yield f"event: job\ndata: {text}\n\n"
        elif quiet >= _ALIVE:
            quiet = 0.0
            yield ": still there\n\n"
        if facts["state"] in OVER:
            return
        await asyncio.sleep(_POLL)
        quiet += _POLL


def _started(request: Request, kind: str, work: tasks.Work) -> Response:
    job = services_of(request).jobs.start(kind, work)
    return json_response(facts_of(job), 202, {"Location": f"{PREFIX}/jobs/{job.id}"})


def _last(request: Request, kind: str) -> Response:
    job: Job | None = services_of(request).jobs.last(kind)
    if job is None:
        raise ProblemError("not-found", f"there is none yet; POST {PREFIX}/{kind} makes one")
    return json_response(facts_of(job))
