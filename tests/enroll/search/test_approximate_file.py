"""The file of an approximate index is a cache: whole, of these very templates, or not used."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

from enroll.search.approximate import (
    ApproximateIndex,
    Graph,
    forget_index,
    index_path,
    load_index,
    save_index,
)
from enroll.templates import Templates
from tests.enroll.search.vectors import part, random_rows, templates
from tests.vanishing import delete_once_seen

COUNT, DIM = 120, 8


@cache
def searched() -> Templates:
    return templates([f"p{row}" for row in range(COUNT)], random_rows(0, COUNT, DIM))


@cache
def graph() -> Graph:
    return ApproximateIndex(searched()).graph()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "Zoë's people.db.index"
    save_index(path, graph(), [searched()])
    return path


def test_round_trip(saved: Path) -> None:
    again = load_index(saved, searched())
    assert np.array_equal(again.levels, graph().levels)
    assert np.array_equal(again.links, graph().links)
    assert (again.entry, again.dropped) == (graph().entry, graph().dropped)


def test_no_vector_is_in_it(saved: Path) -> None:
    content = saved.read_bytes()
    rows = searched().vectors
    halves = rows.astype(np.float16)
    for row in [*rows, *halves]:
        data = row.tobytes()
        assert not any(data[at : at + 16] in content for at in range(len(data) - 15))


def test_it_stays_of_use_when_more_are_enrolled(saved: Path) -> None:
    more = templates(["new"] * 9, random_rows(1, 9, DIM), first=COUNT + 1)
    grown = Templates(
        np.append(searched().ids, more.ids),
        np.append(searched().identities, more.identities),
        np.concatenate([searched().vectors, more.vectors]),
    )
    assert len(load_index(saved, grown)) == COUNT


def test_how_the_templates_came_together_does_not_matter(saved: Path) -> None:
    save_index(saved, graph(), [part(searched(), slice(0, 50)), part(searched(), slice(50, COUNT))])
    load_index(saved, searched())


@pytest.mark.parametrize("other", ["ids", "vectors", "fewer"])
def test_of_other_templates(saved: Path, other: str) -> None:
    ids, vectors = searched().ids.copy(), searched().vectors.copy()
    ids[-1] += other == "ids"
    vectors[0, 0] += 1e-3 * (other == "vectors")
    changed = Templates(ids, searched().identities, vectors)
    with pytest.raises(ValueError, match="other templates"):
        load_index(saved, part(changed, slice(0, COUNT - (other == "fewer"))))


def test_every_changed_byte_and_every_cut_is_noticed(saved: Path) -> None:
    content = saved.read_bytes()
    for place in range(0, len(content), 97):
        saved.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(ValueError, match="checksum"):
            load_index(saved, searched())
    for end in (0, 5, 32, 100, len(content) - 1):
        saved.write_bytes(content[:end])
        with pytest.raises(ValueError, match=r"checksum|safetensors"):
            load_index(saved, searched())


@pytest.mark.parametrize(
    ("part_of", "value"),
    [
        ("levels", np.full(COUNT, 7, np.int32)),
        ("levels", np.full(COUNT, 2**31 - 1, np.int32)),
        ("levels", np.empty(0, np.int32)),
        ("levels", np.ones(COUNT, np.float32)),
        ("links", np.full(3000, 10**6, np.int32)),
        ("links", np.full((2, 2), 0, np.int32)),
        ("about", np.array([1, 10**12, 0])),
        ("about", np.array([2, 0, 0])),
        ("about", np.empty(0, np.int64)),
        ("templates", np.zeros(32, np.uint8)),
        ("another", np.zeros(32, np.uint8)),
    ],
)
def test_a_forged_file_is_refused(saved: Path, part_of: str, value: np.ndarray) -> None:
    content = save(load(saved.read_bytes()[32:]) | {part_of: value})
    saved.write_bytes(hashlib.sha256(content).digest() + content)
    with pytest.raises(ValueError, match=r".+"):
        load_index(saved, searched())


def test_a_file_that_is_too_long_is_not_read(saved: Path) -> None:
    with saved.open("r+b") as file:
        file.truncate(10 * 2**40)  # takes no place on the disk, and would take memory
    with pytest.raises(ValueError, match="at most"):
        load_index(saved, searched())


@pytest.mark.parametrize("damage", [lambda data: data, lambda data: data[:-9], lambda data: b"x" + data[1:]])
def test_forgotten(saved: Path, damage: Callable[[bytes], bytes]) -> None:
    """Also one that is damaged: who resembled whom is still in it."""
    gallery = saved.with_suffix("")
    saved.write_bytes(damage(saved.read_bytes()))
    for _ in range(2):
        forget_index(gallery)
        assert not list(saved.parent.iterdir())


OTHER_FILES = {
    "nothing": b"",
    "text": b"A list of my photos.\n" * 100,
    "safetensors": save({"weights": np.zeros(99, np.float32)}),
    "safetensors behind 32 bytes": bytes(32) + save({"links": np.zeros(99, np.int32)}),
    "a header without an end": bytes(32) + (2**40).to_bytes(8, "little") + b'{"about"',
}


@pytest.mark.parametrize("content", OTHER_FILES.values(), ids=OTHER_FILES)
def test_a_file_of_that_name_that_is_no_index_is_kept(tmp_path: Path, content: bytes) -> None:
    path = index_path(tmp_path / "gallery.db")
    path.write_bytes(content)
    forget_index(tmp_path / "gallery.db")
    with pytest.raises(OSError, match="no index of ours"):
        save_index(path, graph(), [searched()])
    assert path.read_bytes() == content


def test_an_index_that_is_deleted_meanwhile_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = index_path(tmp_path / "gallery.db")
    save_index(path, graph(), [searched()])
    with monkeypatch.context() as patch:
        delete_once_seen(patch, path)  # someone was erased
        save_index(path, graph(), [searched()])
    assert len(load_index(path, searched())) == COUNT


def test_a_link_of_that_name_is_kept(tmp_path: Path) -> None:
    path = index_path(tmp_path / "gallery.db")
    path.symlink_to("nowhere")
    with pytest.raises(OSError, match="no index of ours"):
        save_index(path, graph(), [searched()])


def test_a_folder_of_that_name_is_kept(tmp_path: Path) -> None:
    index_path(tmp_path / "gallery.db").mkdir()
    forget_index(tmp_path / "gallery.db")
    assert index_path(tmp_path / "gallery.db").is_dir()
