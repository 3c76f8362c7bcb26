"""Addresses: what is one, and that no password is ever shown."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from embedder import errors
from enroll.store import gallery_exists, open_store, without_password
from enroll.store.milvus.address import is_milvus, parse_address


def test_server() -> None:
    address = parse_address("milvus://db.example:1234/people")
    assert (address.uri, address.name, address.token) == ("http://db.example:1234", "people", "")
    assert (address.index, address.shards, address.replicas, address.lite) == (None, 1, 1, False)


@pytest.mark.parametrize(
    ("location", "uri"),
    [
        ("milvus://db/people", "http://db:19530"),
        ("milvus+tls://db/people", "https://db:19530"),
        ("milvus://[::1]:7/people", "http://[::1]:7"),
    ],
)
def test_uri(location: str, uri: str) -> None:
    assert parse_address(location).uri == uri


def test_options() -> None:
    address = parse_address("milvus://db/people?index=hnsw&shards=4&replicas=2")
    assert (address.index, address.shards, address.replicas) == ("hnsw", 4, 2)


@pytest.mark.parametrize(("value", "seconds"), [("1", 1), ("0.25", 0.25), ("0", 0), ("3600", 3600)])
def test_staleness(value: str, seconds: float) -> None:
    assert parse_address(f"milvus://db/people?staleness={value}").staleness == seconds
    assert parse_address("milvus://db/people").staleness == 0


def test_lite_is_a_file_of_any_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    address = parse_address("milvus:Fotos 100%/Zoë 名.db")
    assert (address.lite, address.uri) == (True, str(tmp_path / "Fotos 100%/Zoë 名.db"))


@pytest.mark.parametrize(
    ("location", "problem"),
    [
        ("milvus:people", r"milvus:FILE\.db"),
        ("milvus:/db:19530/people", r"milvus://HOST:PORT/NAME"),  # what a Path makes of an address
        ("milvus+tls:people.db", r"milvus://HOST:PORT/NAME"),
        ("milvus://db", "a name"),
        ("milvus:///people", r"milvus://HOST:PORT/NAME"),
        ("milvus://db/zoë", "a name"),
        ("milvus://db/a/b", "a name"),
        ("milvus://db/" + "a" * 201, "a name"),
        ("milvus://db:port/people", r"milvus://HOST:PORT/NAME"),
        ("milvus://db:99999/people", r"milvus://HOST:PORT/NAME"),
        ("milvus://[db/people", r"milvus://HOST:PORT/NAME"),
        ("milvus://db/people?index=none", "index="),
        ("milvus://db/people?shards=0", "shards="),
        ("milvus://db/people?colour=red", "'colour'"),
        *(
            (f"milvus://db/people?staleness={value}", r"staleness=0\.\.3600")
            for value in ("", "-1", "3601", "nan", "1s")
        ),
    ],
)
def test_no_address(location: str, problem: str) -> None:
    with pytest.raises(errors.UsageError, match=problem):
        parse_address(location)


@pytest.mark.parametrize(
    "location", ["gallery.db", "./milvus:x.db", "milvus", "C:milvus", "me@home.db", "C:/me@h/g.db"]
)
def test_files_are_none(location: str) -> None:
    assert not is_milvus(location)
    assert without_password(location) == location


def test_token_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBED_MILVUS_TOKEN", "root:Milvus")
    assert parse_address("milvus://db/people").token == "root:Milvus"
    assert parse_address("milvus://ada:own@db/people").token == "ada:own"


@pytest.mark.parametrize(
    "location",
    [
        "milvus://ada:secret@127.0.0.1:1/people",
        "milvus://ada:sec/secret@127.0.0.1:1/people",
        "milvus://ada:s@secret@127.0.0.1:1/people",
        "milvus+tls://ada:secret@127.0.0.1:1/people",
        "milvus://ada:secret@127.0.0.1:1/no name",
        "milvus://ada:secret@127.0.0.1:port/people",
        "milvus://127.0.0.1:1/people?token=secret",
        "milvus://127.0.0.1:1/people?token=x@secret",
        "milvus://127.0.0.1:1/people?secret",
        "milvus://127.0.0.1:1/people#secret",
        "milvus://ada:x?secret@127.0.0.1:1/people",
        "milvus://ada:12/secret@127.0.0.1:1/people",
        "milvus://secret@127.0.0.1:1/people",
        "milvus://ada:sec%40ret-secret@127.0.0.1:1/people",
        "milvus://ada:secret/people",
        "milvus://ada:1:secret/people",
        "milvus://secret:1:secret/people",
        "milvus://secret:x/people",
        "milvus:///ada:secret@127.0.0.1:1/people",
        "milvus:/ada:secret@127.0.0.1:1/people",
        "milvus:/ada:secret@127.0.0.1:1/people.db",
        "milvus:ada:secret@127.0.0.1:1/people",
        "milvus//ada:secret@127.0.0.1:1/people",
        "MILVUS://ada:secret@127.0.0.1:1/people",
        "Milvus:/ada:secret@127.0.0.1:1/people",
        "milvus+ssl://ada:secret@127.0.0.1:1/people",
        "http://ada:secret@127.0.0.1:1/people",
        "https:/ada:secret@127.0.0.1:1/people",
        " milvus://ada:secret@127.0.0.1:1/people",
        "ada:secret@127.0.0.1:1/people",
    ],
)
def test_password_is_never_shown(location: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBED_MILVUS_TOKEN", "root:secret")
    assert "secret" not in without_password(location)
    try:
        address = parse_address(location)
    except errors.UsageError as error:
        assert "secret" not in str(error)
    else:
        assert "secret" not in f"{address} {address.shown}"
    for opening in (gallery_exists, open_store):
        with pytest.raises(errors.EmbedError) as caught:
            opening(location)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("location", "package"), [("milvus://db/p", "pymilvus"), ("milvus:{}/p.db", "milvus_lite")]
)
def test_missing_package_is_named(
    location: str, package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [package, *(name for name in sys.modules if name.startswith(f"{package}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(errors.MissingPackageError, match=r"pip install 'embedder-enroll\[milvus\]'"):
        open_store(location.format(tmp_path), create=True)
