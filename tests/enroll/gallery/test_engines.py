"""Everything about the life of a gallery holds for every engine that keeps one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from enroll.gallery.doctor import examine_gallery
from enroll.gallery.jsonl import from_lines, to_lines
from enroll.gallery.transfer import (
    GallerySnapshot,
    PersonRecord,
    merge,
    plan_merge,
    put_content,
    read_content,
)
from enroll.store import Terms
from enroll.templates import NewTemplate
from tests.enroll.doctor.people import DIM, made_people
from tests.enroll.gallery.contents import plain
from tests.enroll.store.engines import ENGINES
from tests.enroll.templates import MODEL, template

KINDS = [
    pytest.param(name, marks=[pytest.mark.slow] if name.startswith("milvus") else []) for name in ENGINES
]


def in_order(content: GallerySnapshot) -> GallerySnapshot:
    """Templates by digest, since an engine may keep them in any order."""

    def digest(entry: NewTemplate) -> bytes:
        return entry.digest

    return replace(
        content,
        people=tuple(
            replace(one, templates=tuple(sorted(one.templates, key=digest))) for one in content.people
        ),
        strangers=tuple(sorted(content.strangers, key=lambda entry: entry[1].digest)),
    )


def eight_people() -> GallerySnapshot:
    """The first photo of p02 is said to be p05's; with a stranger."""
    vectors, labels = made_people(9, 4)
    given = labels.copy()
    given[8] = 5
    photos = [
        NewTemplate(f"{row}.png", template(str(row)).digest, vector) for row, vector in enumerate(vectors)
    ]
    people = tuple(
        PersonRecord(
            f"p{label:02d}",
            Terms(consent="file 7"),
            tuple(photos[row] for row in np.flatnonzero(given == label)),
        )
        for label in range(8)
    )
    return GallerySnapshot((MODEL, DIM), people, tuple(("Bob", photo) for photo in photos[32:]))


@pytest.mark.parametrize("kind", KINDS)
def test_the_life_of_a_gallery(kind: str, tmp_path: Path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    content = eight_people()
    with ENGINES[kind](tmp_path / "one")() as store:
        put_content(store, content)
        store.verify()
        found = examine_gallery(store)
        (photo,) = found.judged.mislabeled
        assert store.photos([int(found.templates.ids[photo.row])]) == ["8.png"]
        assert found.templates.names[photo.like] == "p02"
        read, _ = read_content(store)
        assert plain(in_order(read)) == plain(in_order(content))

    half, rest = replace(content, people=content.people[:5]), replace(content, people=content.people[3:])
    with ENGINES[kind](tmp_path / "two")() as store:
        put_content(store, from_lines(to_lines(half), "file"))
        plan = plan_merge(store, rest)
        assert not plan.refused("refuse")
        assert merge(store, rest, plan) == sum(len(person.templates) for person in content.people[5:])
        assert plain(in_order(read_content(store)[0])) == plain(in_order(content))
