from __future__ import annotations

import json
import os
import re
import stat
import time
from pathlib import Path

import pytest

from embedder.errors import UsageError
from enroll.serve import keys as keys_module
from enroll.serve.config import ServeConfig
from enroll.serve.keys import NO_KEY, KeyFile, is_uuid, normal_key


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeyFile:
    """A file of keys whose hashes are quick."""
    quick(monkeypatch)
    return KeyFile(tmp_path / "gallery.db.keys.json")


def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    from argon2 import PasswordHasher

    monkeypatch.setattr(
        keys_module, "_hasher", lambda: PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    )


def test_a_key_is_a_uuid_and_only_its_hash_is_stored(kept: KeyFile) -> None:
    key = kept.new("enroll", "the camera at the door")
    assert is_uuid(key)
    text = kept.path.read_text()
    assert key not in text
    assert key[9:] not in text
    assert key.replace("-", "")[8:] not in text
    assert "$argon2id$" in text
    if os.name != "nt":
        assert stat.S_IMODE(kept.path.stat().st_mode) == 0o600
    (entry,) = kept.listed()
    assert (entry.name, entry.scope, entry.label) == (key[:8], "enroll", "the camera at the door")


def test_the_hash_is_as_slow_as_rfc_9106_says(tmp_path: Path) -> None:
    kept = KeyFile(tmp_path / "keys.json")
    key = kept.new("identify")
    (entry,) = kept.listed()
    assert re.match(r"\$argon2id\$v=19\$m=65536,t=3,p=4\$", entry.hashed)
    assert kept.find(key) == entry


def test_what_is_found(kept: KeyFile) -> None:
    key = kept.new("identify")
    other = kept.new("administer")
    assert kept.find(key) == kept.listed()[0]
    assert kept.find(f" {key.upper()} ") == kept.listed()[0]
    assert kept.find(key.replace("-", "")) == kept.listed()[0]
    for wrong in ("", key[:-1], key[:8] + other[8:], other[:8] + key[8:], "x" * 100_000, "ключ"):
        assert kept.find(wrong) is None, wrong[:40]


def test_a_key_is_hashed_once(kept: KeyFile, monkeypatch: pytest.MonkeyPatch) -> None:
    key = kept.new("identify")
    assert kept.remembered(key) is None
    kept.find(key)
    wrong = key[:-1] + ("0" if key[-1] != "0" else "1")
    assert kept.find(wrong) is None
    monkeypatch.setattr(kept, "_matches", lambda *_: pytest.fail("hashed again"))
    assert kept.find(key) == kept.remembered(key) == kept.listed()[0]
    assert kept.find(wrong) is None
    assert kept.remembered(wrong) == NO_KEY


def test_memory_holds_no_key(kept: KeyFile) -> None:
    key = kept.new("identify")
    kept.find(key)
    assert key not in repr(vars(kept))
    assert key[9:] not in repr(vars(kept))


def test_a_name_that_is_not_known_takes_a_hash_too(kept: KeyFile, monkeypatch: pytest.MonkeyPatch) -> None:
    key = kept.new("identify")
    asked: list[str] = []
    monkeypatch.setattr(kept, "_matches", lambda hashed, text: asked.append(hashed) or False)
    kept.find("00000000" + key[8:])
    assert len(asked) == 1
    assert asked[0].startswith("$argon2id$")


def test_revoked_by_another_process(kept: KeyFile) -> None:
    key = kept.new("identify")
    assert kept.find(key)
    other = KeyFile(kept.path)
    other.new("enroll")
    other.revoke(key[:8])
    assert kept.find(key) is None
    with pytest.raises(UsageError, match="no such key"):
        other.revoke(key)


def test_scopes_hold_each_other(kept: KeyFile) -> None:
    for scope in ("identify", "enroll", "administer"):
        kept.new(scope)
    allowed = [[key.allows(scope) for scope in ("identify", "enroll", "administer")] for key in kept.listed()]
    assert allowed == [[True, False, False], [True, True, False], [True, True, True]]
    with pytest.raises(UsageError, match="--scope: expected one of identify, enroll, administer, got 'root'"):
        kept.new("root")


@pytest.mark.parametrize("label", ["two\nlines", "a" * 101, "\x1b[2J"])
def test_a_label_that_cannot_be_shown(kept: KeyFile, label: str) -> None:
    with pytest.raises(UsageError, match="--label"):
        kept.new("identify", label)
    assert kept.listed() == []


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"keys": [1]}',
        '{"keys": [{"name": "x"}]}',
        '{"keys": [{"name": "x", "scope": "root", "label": "", "made": "", "hashed": ""}]}',
        '{"keys": [{"name": 1, "scope": "identify", "label": "", "made": "", "hashed": ""}]}',
        "[" * 100_000,
    ],
)
def test_a_broken_file_is_refused_and_not_overwritten(kept: KeyFile, content: str) -> None:
    kept.path.write_text(content)
    with pytest.raises(UsageError, match=r"keys\.json: not a file of keys, or broken"):
        kept.listed()
    with pytest.raises(UsageError, match="broken"):
        kept.new("identify")
    assert kept.path.read_text() == content


def test_a_hash_that_is_none_opens_nothing(kept: KeyFile) -> None:
    key = kept.new("administer")
    content = json.loads(kept.path.read_text())
    content["keys"][0]["hashed"] = ""
    kept.path.write_text(json.dumps(content))
    assert kept.find(key) is None
    assert kept.remembered(key) == NO_KEY
    assert kept.find(key) is None  # also what is remembered


def test_two_processes_make_keys_at_once(kept: KeyFile) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: KeyFile(kept.path).new("identify"), range(8)))
    assert {key.name for key in kept.listed()} == {key[:8] for key in made}


def test_one_form() -> None:
    assert normal_key("{12345678-1234-5678-1234-567812345678}") == "12345678-1234-5678-1234-567812345678"
    assert normal_key(" ABC ") == "abc"
    assert not is_uuid("1234567812345678123456781234567 8")


def test_no_file_is_no_keys(tmp_path: Path) -> None:
    begun = time.monotonic()
    assert KeyFile(tmp_path / "none").find("12345678-1234-5678-1234-567812345678") is None
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize("gallery", ["", ".", "/"])
def test_keys_lie_beside_a_file(gallery: str) -> None:
    with pytest.raises(UsageError, match=r"--gallery: expected a file, .*which names no file"):
        ServeConfig(gallery=gallery)
