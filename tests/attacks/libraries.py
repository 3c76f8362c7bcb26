"""Photo libraries and films from elsewhere, whose names act on a terminal."""

from __future__ import annotations

import hashlib
import io
import json
from contextlib import redirect_stderr, redirect_stdout, suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
from fuzz_files import make_gallery

from enroll import cli
from enroll.agreement import Agreement
from enroll.calibration import Calibration
from enroll.cli import films
from enroll.decision import Candidate, Decision
from enroll.gallery.places import stored_path
from enroll.gallery.threshold import CalibrationRecord, ThresholdSource
from enroll.library.people import library_of
from enroll.sightings import FilmAnswer, PersonSeen, Sighting
from enroll.store import open_store
from enroll.store.library import PhotoFile, SeenFace, SeenPhoto
from enroll.store.sqlite import store as store_module
from tests.attacks.names import check_said
from tests.attacks.outcomes import HARMLESS, Attack
from tests.embedder.pictures import SAMPLES

_ACTING = "\x1b[2J\x9b2J\x07\b\u202e\u2028"
_MODEL = SimpleNamespace(fingerprint="f" * 64, dim=8)  # no network is run
_PHOTO = f"a{_ACTING}\nb\udcff.jpg"
_XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#" xmlns:stDim="http://ns.adobe.com/xap/1.0/sType/Dimensions#">
<dc:subject><rdf:Bag><rdf:li>Zoe&#x9b;2J&#x202e;</rdf:li></rdf:Bag></dc:subject>
<mwg-rs:Regions rdf:parseType="Resource">
<mwg-rs:AppliedToDimensions stDim:w="48" stDim:h="32" stDim:unit="pixel"/>
<mwg-rs:RegionList><rdf:Bag><rdf:li><rdf:Description mwg-rs:Name="Ada&#x9b;2J&#x202e;&#10;x" mwg-rs:Type="Face">
<mwg-rs:Area stArea:x="0.5" stArea:y="0.5" stArea:w="0.4" stArea:h="0.4" stArea:unit="normalized"/>
</rdf:Description></rdf:li></rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions>
</rdf:Description></rdf:RDF></x:xmpmeta>"""  # noqa: E501


def said(*words: object) -> str:
    """What a command writes to the terminal."""
    out = io.TextIOWrapper(io.BytesIO(), "utf-8", errors="surrogateescape")
    with (
        patch("sys.argv", ["embed", *map(str, words)]),
        patch("enroll.cli.library.load_extractor", lambda *_: _MODEL),
        patch("enroll.cli.library_files.load_extractor", lambda *_: _MODEL),
        redirect_stdout(out),
        redirect_stderr(out),
        suppress(SystemExit),
    ):
        cli.main()
    out.flush()
    return out.buffer.getvalue().decode(errors="surrogateescape")  # type: ignore[attr-defined]


def make_library(folder: Path) -> Path:
    """Make a gallery with such names: of a person, of a photo, in what programs wrote beside it."""
    make_gallery(folder / "gallery")
    path, photos = folder / "gallery" / "gallery.db", folder / "gallery" / "photos"
    photos.mkdir()
    photo = photos / _PHOTO
    photo.write_bytes(SAMPLES["jpeg"][0])
    photo.with_name(f"{_PHOTO}.xmp").write_text(_XMP, encoding="utf-8")
    beside = {"title": _PHOTO, "people": [{"name": f"Bob{_ACTING}"}]}
    photo.with_name(f"{_PHOTO}.json").write_text(json.dumps(beside))
    digest = hashlib.sha256(photo.read_bytes()).digest()
    status = photo.stat()
    file = PhotoFile(stored_path(photo, path.parent), status.st_size, status.st_mtime_ns)
    problem = f"broken or truncated {_ACTING} file"
    with open_store(path) as store, patch.object(store_module, "stored_name_problem", lambda _: None):
        rows = library_of(store)
        faces = [
            SeenFace(
                0, (0, 0, 20 + n, 20), np.eye(8, dtype=np.float32)[n], {}, None, "f" * 64, key=bytes([n]) * 32
            )
            for n in range(4)
        ]
        seen = SeenPhoto(digest, (file,), 48, 32, None, None, "f" * 64)
        rows.write([(seen, faces), (SeenPhoto(bytes(32), (file,), 0, 0, None, problem, "f" * 64), [])])
        promise = Calibration(1.5, 0.01, 0.95, 3, 40, 10, 0.3, 10, 40)
        record = CalibrationRecord(promise, None, "f" * 64, "2026-11-28T20:44:31+00:00")
        store.set_calibration(record.to_text(), 2, 4)
        store.rename("Ada", f"Ada{_ACTING}")
        person = rows.person(f"Ada{_ACTING}")
        rows.decide({"do": "confirm", "faces": [1], "person": person})
        rows.set_names({1: person})
        rows.set_groups({2: 2, 3: 2})
    return path


def shown(words: tuple[str, ...], folder: Path) -> str:
    """No command about the library lets a name act, in text or as JSON."""
    path = make_library(folder)
    for more in ((), ("--json",)):
        text = said("library", *words, *more, "--gallery", path)
        assert "no such option" not in text.lower(), text
        check_said(text)
        if more and text.startswith("{"):
            json.loads(text.splitlines()[0])
    return HARMLESS


def decided(folder: Path) -> str:
    """Nor do the commands that decide say a name that acts."""
    path = make_library(folder)
    for words in (
        ("confirm", f"Eve{_ACTING}", "f2"),
        ("confirm", "Eve", f"f2{_ACTING}"),
        ("reject", f"Ada{_ACTING}", "f2"),
        ("merge", "Zoë", f"Ada{_ACTING}"),
        ("undo",),
        ("merge", f"Ada{_ACTING}", "Zoë"),
        ("split", f"g2{_ACTING}", "f2"),
        ("sort", folder / f"new{_ACTING}", "--dry-run", "--confirmed"),
        ("sort", folder / f"new{_ACTING}", "--confirmed"),
        ("import-names", path.parent / "photos"),
        ("undo", "--steps", "2"),
    ):
        check_said(said("library", *words, "--gallery", path))
    return HARMLESS


def a_film(folder: Path) -> str:
    """Nor does what is said of a film, its people and what is wrong with it."""
    decision = Decision(f"Ada{_ACTING}", "match", 0.1, 0.5, (Candidate(f"Ada{_ACTING}", 0.1),))
    seen = Sighting(0.5, (1, 2, 3, 4), np.zeros((5, 2)), None, decision)
    person = PersonSeen(Agreement(decision, 1, 1, 1, 0), ((0.0, 1.0),), (seen,))
    name = str(folder / _PHOTO)
    whole = FilmAnswer(name, None, 9.0, 9, (person,), (f"cut {_ACTING}",))
    for answer in (FilmAnswer(name, f"broken {_ACTING}"), whole):
        for as_json, explain in ((False, False), (False, True), (True, False)):
            with redirect_stdout(io.StringIO()) as out:
                films.show_answer(answer, ThresholdSource("given", 0.5), as_json, explain)
            assert out.getvalue()
            check_said(out.getvalue())
    return HARMLESS


_READING: dict[str, tuple[str, ...]] = {
    "faces": ("faces",),
    "history": ("history",),
    "groups": ("groups", "--threshold", "1.3", "--alone"),
    "suggestions": ("suggestions", "--threshold", "1.3"),
    "someone": ("find", f"Ada{_ACTING}", "--confirmed"),
    "no one": ("find", f"Eve{_ACTING}", "--confirmed"),
    "tags": ("tag", "--dry-run"),
    "names of other programs": ("import-names", "--dry-run"),
}
ATTACKS: dict[str, tuple[Attack, str]] = {
    **{f"{name} with names that act": (partial(shown, words), HARMLESS) for name, words in _READING.items()},
    "decisions about names that act": (decided, HARMLESS),
    "a film whose name acts": (a_film, HARMLESS),
}
