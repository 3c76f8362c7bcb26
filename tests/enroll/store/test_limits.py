"""Whatever can be put into a gallery, by any way, can be exported and imported again."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from embedder.errors import GalleryError, UsageError
from enroll import cli
from enroll.gallery.jsonl import from_lines, importable_lines, to_lines
from enroll.gallery.threshold import CalibrationRecord
from enroll.gallery.transfer import GallerySnapshot, PersonRecord, put_content, read_content
from enroll.store import NewPerson, Store, Terms, limits
from enroll.templates import NewTemplate
from tests.enroll.gallery.contents import fresh, same, small_content
from tests.enroll.store.engines import ENGINES, SLOW
from tests.enroll.templates import DIM, MODEL, template

runner = CliRunner()
ADA = template("a.png")

# Texts at, and one beyond, every limit: of letters of one, two, three and four bytes.
letters = st.sampled_from("xé\u0000\n\u2028李\U0001f600\u202e\ud83d ")


def of_about(length: int) -> st.SearchStrategy[str]:
    return st.builds(str.__mul__, letters, st.sampled_from([0, 1, length - 1, length, length + 1]))


texts = st.text(max_size=9) | of_about(limits.CONSENT)
names = st.text(max_size=9) | of_about(200)
photos = st.text(max_size=9) | of_about(limits.PHOTO) | of_about(limits.PHOTO // 3)
days = st.none() | st.dates() | st.datetimes() | st.sampled_from([date.min, date.max])
anyones = st.builds(
    NewPerson,
    names,
    st.lists(
        st.builds(
            NewTemplate,
            photos,
            st.binary(min_size=31, max_size=33) | st.binary(min_size=32, max_size=32),
            st.sampled_from(
                [
                    ADA.vector,
                    ADA.vector * np.float32(1.001),
                    ADA.vector * np.float32(0.999),
                    ADA.vector * np.float32("nan"),
                    ADA.vector * 2,
                ]
            ),
        ),
        min_size=1,
        max_size=2,
    ),
    st.none() | st.builds(Terms, st.none() | texts, days, days),
)


def into_and_out_of(store: Store, put: Callable[[Store], object]) -> bool:
    """Put something into a store, and export and import all it holds; False if it was refused."""
    before, _ = read_content(store)
    try:
        put(store)
    except (UsageError, ValueError) as error:
        assert not isinstance(error, UnicodeError)
        after, _ = read_content(store)
        assert same(after, before)
        return False
    content, _ = read_content(store)
    assert same(from_lines(importable_lines(content, "g"), "file"), content)
    return True


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(person=anyones, other=names, terms=st.builds(Terms, st.none() | texts, days, days))
def test_what_is_stored_can_be_imported(
    tmp_path_factory: pytest.TempPathFactory, person: NewPerson, other: str, terms: Terms
):
    with fresh(tmp_path_factory.mktemp("gallery") / "g.db") as store:
        store.bind(MODEL, DIM)
        store.add("Eve", [template("e.png")])
        into_and_out_of(store, lambda store: store.add_many([person]))
        into_and_out_of(store, lambda store: store.set_terms("Eve", terms))
        into_and_out_of(store, lambda store: store.rename("Eve", other))
        into_and_out_of(store, lambda store: store.add_strangers([(other, person.templates[0])]))
        content, _ = read_content(store)
        with fresh(tmp_path_factory.mktemp("gallery") / "n.db") as new:
            put_content(new, from_lines(to_lines(content), "file"))
            assert same(read_content(new)[0], content)


LONG = {
    "consent": (lambda store: store.set_terms("Ada", Terms("x" * 1001)), "at most 1000 characters, got 1001"),
    "consent in another script": (lambda store: store.set_terms("Ada", Terms("李" * 1001)), "at most 1000"),
    "consent of a new person": (
        lambda store: store.add("Eve", [template("e")], Terms("x" * 1001)),
        "Eve: consent: expected text of at most 1000 characters, got 1001; shorten it",
    ),
    "consent that is no text": (lambda store: store.set_terms("Ada", Terms(7)), "consent: expected text"),
    "half a letter": (lambda store: store.set_terms("Ada", Terms("\ud83d")), "surrogates not allowed"),
    "a moment": (
        lambda store: store.set_terms("Ada", Terms(expires=datetime(2030, 1, 1))),
        "expires: expected a date",
    ),
    "date as text": (lambda store: store.set_terms("Ada", Terms(None, "2030-01-01")), "expected a date"),
    "name": (lambda store: store.add("x" * 201, [template("e")]), "a name of 201 characters"),
    "name for a terminal": (lambda store: store.add("Eve\x1b[31m", [template("e")]), "cannot be shown"),
    "name of another form": (lambda store: store.add("Zoe\u0308", [template("e")]), "Unicode form NFC"),
    "no name": (lambda store: store.rename("Ada", " "), "an empty name"),
    "stranger": (lambda store: store.add_strangers([("x" * 201, template("e"))]), "201 characters"),
    "path": (lambda store: store.add("Eve", [changed(photo="é" * 32_768)]), "at most 65535 bytes, got 65536"),
    "path in bytes": (lambda store: store.add("Eve", [changed(photo="\udcff")]), "surrogates not allowed"),
    "stranger's path": (
        lambda store: store.add_strangers([("Eve", changed(photo="x" * 65_536))]),
        "at most 65535 bytes",
    ),
    "digest": (lambda store: store.add("Eve", [changed(digest=b"\0" * 31)]), "digest: expected 32 bytes"),
    "fingerprint": (lambda store: store.bind("f" * 1001, DIM), "fingerprint: expected text of at most 1000"),
    "calibration": (
        lambda store: store.set_calibration("x" * 100_001, 1, 1),
        "calibration: expected text of",
    ),
}


def changed(**fields: Any) -> NewTemplate:
    return NewTemplate(**{**vars(template("e")), **fields})


@pytest.mark.parametrize(
    "engine", [pytest.param(one, marks=pytest.mark.slow if one in SLOW else ()) for one in ENGINES]
)
def test_both_engines_refuse_the_same(engine: str, tmp_path: Path):
    with ENGINES[engine](tmp_path)() as store:
        store.bind(MODEL, DIM)
        store.add("Ada", [ADA], Terms("x" * 1000, date.min, date.max))
        for name, (put, message) in LONG.items():
            with pytest.raises(UsageError) as refused:
                put(store)
            assert message in str(refused.value), name
        content, _ = read_content(store)
    assert content.people[0].terms == Terms("x" * 1000, date.min, date.max)
    assert same(from_lines(importable_lines(content, "g"), "file"), content)


def test_the_longest_of_everything_fits_into_a_line():
    worst = "\u0001"  # six bytes of JSON for one
    vector = np.zeros(limits.DIM, np.float32)
    vector[0] = 1
    person = PersonRecord(
        "李" * 200,
        Terms(worst * limits.CONSENT, date.min, date.max),
        (NewTemplate(worst * limits.PHOTO, bytes(32), vector),),
    )
    content = GallerySnapshot((worst * limits.FINGERPRINT, limits.DIM), (person,))
    assert same(from_lines(importable_lines(content, "g"), "file"), content)
    assert len(json.dumps({"calibration": worst * limits.CALIBRATION})) < 1 << 20


@pytest.mark.parametrize("way", ["terms", "enroll"])
def test_the_command_refuses_a_consent_that_is_too_long(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    with fresh(Path("gallery.db")) as store:
        put_content(store, small_content())
    command = ["gallery", "terms", "Ada"] if way == "terms" else ["enroll", "people"]
    done = runner.invoke(cli.app, [*command, "--consent", "x" * 1001])
    assert isinstance(done.exception, UsageError)
    assert "--consent: expected text of at most 1000 characters, got 1001" in str(done.exception)


def test_what_an_older_gallery_holds_is_not_exported_in_vain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Before, a gallery took any text; it is opened as before, and the export says what to change."""
    monkeypatch.chdir(tmp_path)
    with fresh(Path("gallery.db")) as store:
        with monkeypatch.context() as before:
            before.setattr("enroll.store.sqlite.store.check_people", lambda people: None)
            store.bind(MODEL, DIM)
            store.add("Ada", [ADA], Terms("x" * 1001))
        assert store.people()[0].terms.consent == "x" * 1001
    done = runner.invoke(cli.app, ["gallery", "export", "export"])
    assert isinstance(done.exception, GalleryError)
    assert "not exported, since it could not be imported again: Ada: consent: expected" in str(done.exception)
    assert not Path("export").exists()
    assert runner.invoke(cli.app, ["gallery", "terms", "Ada", "--consent", "7"]).exit_code == 0
    assert runner.invoke(cli.app, ["gallery", "export", "export"]).exit_code == 0
    assert runner.invoke(cli.app, ["gallery", "import", "export", "--gallery", "new.db"]).exit_code == 0


def test_a_calibration_with_an_endless_number_is_refused():
    promise = {"distance": 1, "target_fpir": 1, "confidence": 1, "named": 1, "searches": 1} | {
        "strangers": 1,
        "counted_bound": 1,
        "identities": 1,
        "templates": 10**400,
    }
    text = json.dumps({"promise": promise, "curve": None, "fingerprint": "f", "date": "d"})
    with pytest.raises(GalleryError, match="its calibration cannot be read"):
        CalibrationRecord.from_text(text, "g")
