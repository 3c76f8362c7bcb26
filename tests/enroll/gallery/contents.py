"""Generated contents of galleries."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from embedder.names import name_problem, normal_name
from enroll.gallery.transfer import GallerySnapshot, PersonRecord
from enroll.store import Terms
from enroll.store.sqlite.store import SqliteStore
from enroll.templates import NewTemplate
from tests.enroll.templates import DIM, MODEL, template

names = (
    st.text(min_size=1, max_size=12)
    .map(normal_name)
    .filter(lambda name: name_problem(name) is None and normal_name(name) == name)
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
given_days = st.none() | st.dates(max_value=date.today())
terms = st.builds(Terms, st.none() | texts, given_days, st.none() | st.dates())


@st.composite
def contents(draw: st.DrawFn) -> GallerySnapshot:
    """Any gallery: names, paths and terms of all kinds; each photo once."""
    people = draw(st.dictionaries(names, st.tuples(terms, st.integers(1, 3)), max_size=4))
    strangers = draw(st.lists(names.filter(lambda name: name not in people), max_size=3))
    number = iter(range(100))

    def photo() -> NewTemplate:
        made = template(f"{next(number)}")
        return NewTemplate(draw(texts), made.digest, made.vector)

    return GallerySnapshot(
        (MODEL, DIM),
        tuple(
            PersonRecord(name, terms, tuple(photo() for _ in range(photos)))
            for name, (terms, photos) in sorted(people.items())
        ),
        tuple((name, photo()) for name in strangers),
    )


def small_content() -> GallerySnapshot:
    """Two people with terms, and a stranger."""
    return GallerySnapshot(
        (MODEL, DIM),
        (
            PersonRecord(
                "Ada", Terms("file 7", date(2026, 1, 2), date(2030, 12, 31)), (template("a 1.png"),)
            ),
            PersonRecord("Zoë", Terms(), (template("z1.png"), template("z2.png"))),
        ),
        (("Bob", template("b.png")),),
    )


def same(one: GallerySnapshot, other: GallerySnapshot) -> bool:
    """Whether two galleries hold the same, to the last bit."""
    return plain(one) == plain(other)


def plain(content: GallerySnapshot) -> tuple[object, ...]:
    return (
        content.model,
        [(one.name, one.terms, [*map(_plain, one.templates)]) for one in content.people],
        [(name, _plain(template)) for name, template in content.strangers],
        content.calibration,
    )


def _plain(entry: NewTemplate) -> tuple[str, bytes, bytes]:
    return entry.photo, entry.digest, np.asarray(entry.vector, "<f4").tobytes()


def fresh(path: Path) -> SqliteStore:
    return SqliteStore(path, create=True)
