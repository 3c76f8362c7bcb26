"""Build the work of jobs: enroll many, embed again, evaluate, examine, calibrate.

Each runs in a thread of `Jobs`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embedder._internal.runtime import Progress
from embedder.errors import EmbedError, UnknownIdentityError, UsageError
from embedder.folders import scan_folder
from enroll.config import EvaluationConfig
from enroll.gallery.photos import find_poor
from enroll.gallery.places import home_of
from enroll.gallery.reembed import reembed, replace_all
from enroll.gallery.threshold import contradiction, describe
from enroll.gallery.transfer import read_content
from enroll.store.actor import acting

if TYPE_CHECKING:
    from enroll.serve.access import Caller
    from enroll.serve.engine import Engine
    from enroll.serve.people import People
    from enroll.serve.uploads import Upload
    from enroll.store import Store

Work = Callable[[Progress], Any]


def enroll_uploads(
    people: People, by_name: Mapping[str, Sequence[Upload]], force: bool, caller: Caller
) -> Work:
    """Return the job that enrolls uploads of many people.

    Args:
        people: of the gallery.
        by_name: uploads by name.
        force: accept faces that are too poor, too.
        caller: who enrolls them.
    """

    def work(progress: Progress) -> Any:
        done: list[dict[str, Any]] = []
        with progress.bar("Enrolling", sum(map(len, by_name.values())), "photos") as advance:
            for name, uploads in by_name.items():
                try:
                    outcome = people.enroll(name, uploads, force, None, caller)
                except EmbedError as error:
                    done.append(_refused(name, [(upload.name, str(error)) for upload in uploads]))
                else:
                    done.append(
                        _refused(outcome.name, outcome.rejected)
                        | {"added": len(outcome.added), "already": outcome.already}
                    )
                advance(len(uploads))
        return {"people": done, "added": sum(one["added"] for one in done)}

    return work


def enroll_folder(engine: Engine, folder: Path, force: bool, caller: Caller) -> Work:
    """Return the job that enrolls a folder which the operator allowed.

    Args:
        engine: of the server.
        folder: its path.
        force: accept faces that are too poor, too.
        caller: who enrolls it.
    """

    def work(progress: Progress) -> Any:
        scanned = scan_folder(folder)
        by_name: dict[str, list[Path]] = {}
        for sample in scanned.samples:
            by_name.setdefault(sample.identity, []).append(sample.path)
        done = []
        with progress.bar("Enrolling", len(scanned.samples), "photos") as advance, acting(caller.journal):
            for one in engine.session().gallery.enroll_many(by_name, force, advance=advance):
                rejected = [(entry.path.name, entry.reason) for entry in one.rejected]
                done.append(_refused(one.identity, rejected) | {"added": one.added, "already": one.already})
        unread = [{"photo": entry.path.name, "reason": entry.reason} for entry in scanned.rejected]
        return {"people": done, "added": sum(one["added"] for one in done), "rejected": unread}

    return work


def _refused(name: str, rejected: Sequence[tuple[str, str]]) -> dict[str, Any]:
    listed = [{"photo": photo, "reason": reason} for photo, reason in rejected]
    return {"name": name, "added": 0, "already": 0, "rejected": listed}


def re_embed(engine: Engine, force: bool, caller: Caller) -> Work:
    """Return the job that embeds the gallery's photos again, by the server's model."""

    def work(progress: Progress) -> Any:
        from enroll.library.film_still import frame_at

        store, extractor = engine.session().store, engine.extractor
        since = store.changes()
        content, _ = read_content(store)
        remade = reembed(content, extractor, None, progress, home_of(store), frame_at)
        if remade.gone and not force:
            raise UsageError(
                f"not changed, since no photo would be left of {', '.join(remade.gone)}; force goes on "
                "without them"
            )
        with acting(caller.journal):
            replace_all(store, remade.content, since)
        lost = [{"name": one.person, "photo": one.photo, "reason": one.reason} for one in remade.lost]
        return {"photos": remade.content.templates, "lost": lost, "gone": list(remade.gone)}

    return work


def evaluate_gallery(engine: Engine, config: EvaluationConfig) -> Work:
    """Return the job that measures identification on the gallery's own photos."""
    from enroll.evaluation.protocol import evaluate_samples  # not at the start of a server: few ask for it
    from enroll.folder_embedding import EmbeddedFolder
    from enroll.report.evaluation import summarize

    def work(progress: Progress) -> Any:
        store = engine.session().store
        templates = store.templates()
        if not len(templates.ids):
            raise UsageError("no one is enrolled; nothing to evaluate")
        names, labels = np.unique(templates.identities.astype(str), return_inverse=True)
        photos = store.photos(templates.ids.tolist())
        everything = np.ones(len(labels), bool)
        embedded = EmbeddedFolder(
            identities=tuple(names.tolist()),
            labels=labels.astype(np.int64),
            vectors=templates.vectors,
            found=everything,
            enrollable=everything,
            paths=tuple(map(Path, photos)),
            strangers=engine.extractor.manifest.strangers,
        )
        with progress.bar("Evaluating", 1, "evaluations") as advance:
            outcome = summarize(evaluate_samples(embedded, config))
            advance()
        return json.loads(outcome.to_json()) | {"lines": outcome.lines}

    return work


def examine(engine: Engine, photos: bool) -> Work:
    """Return the job that finds wrong photos, duplicate people and lookalikes."""
    from enroll.gallery.doctor import examine_gallery
    from enroll.report.doctor import DoctorReport

    def work(progress: Progress) -> Any:
        store = engine.session().store
        poor = find_poor(store, engine.extractor, progress) if photos else None
        words = DoctorReport(store, examine_gallery(store, progress), poor)
        return with_fixes(json.loads(words.to_json()), store) | {"lines": list(words.lines())}

    return work


def with_fixes(facts: dict[str, Any], store: Store) -> dict[str, Any]:
    """Add to each finding the request that fixes it.

    Args:
        facts: from `embed gallery doctor --json`.
        store: the gallery.
    """
    from urllib.parse import quote

    def route(name: str) -> str:
        return f"/api/v1/people/{quote(name, safe='')}"

    for entry in [*facts.get("wrong_photos", ()), *facts.get("poor_photos", ())]:
        entry.pop("command", None)
        try:
            stored = store.stored(entry["person"])
        except UnknownIdentityError:  # erased since
            continue
        for photo in stored:
            if (
                photo.photo == entry["photo"]
                and entry.get("digest", photo.digest.hex()) == photo.digest.hex()
            ):
                href = f"{route(entry['person'])}/photos/{photo.id}"
                entry["photo_id"], entry["crop"] = str(photo.id), f"{href}/crop"
                entry["fix"] = {"method": "DELETE", "href": href, "body": None}
    for entry in facts.get("same_person", ()):
        entry.pop("command", None)
        kept, other = entry["names"]
        entry["fix"] = {"method": "POST", "href": f"{route(kept)}/merge", "body": {"other": other}}
    return facts


def calibrate(engine: Engine, fpir: float, caller: Caller) -> Work:
    """Return the job that calibrates the gallery."""

    def work(progress: Progress) -> Any:
        with progress.bar("Calibrating", 1) as advance, acting(caller.journal):
            session = engine.session()
            record, aside = session.gallery.calibrate_aside(fpir)
            session.read_again()
            advance()
        return {
            "threshold": record.calibration.distance,
            "sentence": describe(record),
            "warning": contradiction(record.calibration),
            "set_aside": [entry.describe() for entry in aside],
        }

    return work
