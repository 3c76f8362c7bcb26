"""Terms, purging, the audit log and encryption, as a user runs them."""

from __future__ import annotations

import json
import re
import shutil
from datetime import date, timedelta
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from embedder.errors import EmbedError
from enroll import cli
from enroll.store import open_store
from tests.conftest import pattern

runner = CliRunner()


@pytest.fixture
def there(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model, and photos of two people; no key."""
    (tmp_path / "embed-model").symlink_to(model)
    for number, name in enumerate(["ada", "Zoë K"]):
        (tmp_path / "people" / name).mkdir(parents=True)
        for photo in range(2):
            Image.fromarray(pattern(100 + number, photo)).save(tmp_path / "people" / name / f"{photo}.png")
    monkeypatch.chdir(tmp_path)
    for variable in ("EMBED_GALLERY_KEY", "EMBED_GALLERY_KEY_FILE"):
        monkeypatch.setenv(variable, "")
    return tmp_path


def run(*arguments: str, code: int = 0) -> str:
    result = runner.invoke(cli.app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def test_terms_are_given_shown_and_changed(there: Path, today: date) -> None:
    run("enroll", "people", "--consent", "file 7/é", "--consent-date", "2026-01-31", "--expires", str(today))
    out = run("gallery", "show", "ada")
    for line in ("ada (2 photos)", "consent: file 7/é", "consent date: 2026-01-31", f"expires: {today}"):
        assert line in out
    assert "photo 3: people/ada/0.png, SHA-256 " in out
    said = json.loads(run("gallery", "show", "Zoë K", "--json"))
    with open_store("gallery.db") as store:
        stored = store.stored("Zoë K")
    assert (said["name"], said["consent"], said["consent_date"]) == ("Zoë K", "file 7/é", "2026-01-31")
    assert said["expires"] == str(today)
    assert [photo["vector"] for photo in said["photos"]] == [entry.vector.tolist() for entry in stored]
    assert [photo["sha256"] for photo in said["photos"]] == [entry.digest.hex() for entry in stored]
    assert run("gallery", "terms", "ada", "--expires", "2931-05-01").strip() == (
        "ada: consent file 7/é, consent date 2026-01-31, expires 2931-05-01"
    )
    assert run("gallery", "terms", "ada", "--clear").strip() == "ada: no terms"
    run("enroll", "people", "--consent", "file 8")  # all of it is there already
    assert "consent: file 8" in run("gallery", "show", "ada")


def test_whoever_expired_is_not_named_and_is_purged(there: Path, today: date) -> None:
    run("enroll", "people")
    photo = "people/ada/0.png"
    assert '"identity": "ada"' in run("identify", photo, "--json", "--threshold", "0.01")
    run("gallery", "terms", "ada", "--expires", str(today))
    assert '"identity": "ada"' in run("identify", photo, "--json", "--threshold", "0.01")
    run("gallery", "terms", "ada", "--expires", str(today - timedelta(days=1)))
    out = run("identify", photo, "--json", "--threshold", "2", "--explain")
    assert "ada" not in re.sub(r'"photo": "[^"]*"', "", out.splitlines()[-1])
    assert "1 person who expired: not named any more; `embed gallery purge` erases them" in out
    assert run("gallery", "purge") == "purged ada\n"
    assert run("gallery", "purge") == "no one has expired\n"
    assert run("gallery", "list") == "Zoë K (2 photos)\n"
    assert "expired" not in run("identify", photo, "--json", "--threshold", "2")
    log = run("gallery", "log").splitlines()
    assert [line.split(maxsplit=1)[1] for line in log] == [
        "enroll, person 1, 2 photos",
        "enroll, person 2, 2 photos",
        "terms, person 2",
        "terms, person 2",
        "purge, person 2, 2 photos",
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gallery", "terms", "ada"], "expected --consent, --consent-date, --expires or --clear"),
        (["gallery", "terms", "ada", "--consent", " "], "--consent: expected where it is kept"),
        (["gallery", "show", "no one"], "no one is called 'no one'"),
        (["gallery", "terms", "Ada", "--clear"], "did you mean 'ada'"),
        (["enroll", "--strangers", "people", "--expires", "2930-01-01"], "got both"),
        (["gallery", "encrypt"], "expected a key, got none"),
        (["gallery", "new-key", "people"], "expected a file, got a folder"),
        (["--key", "no key", "gallery", "list"], "no key: no key here; `embed gallery new-key"),
        (["gallery", "--gallery", "x", "drop-unreadable"], "No such option"),
    ],
)
def test_errors_say_what_to_do(there: Path, arguments: list[str], said: str) -> None:
    run("enroll", "people")
    result = runner.invoke(cli.app, arguments)
    assert result.exit_code == 2 or isinstance(result.exception, EmbedError)
    assert re.search(said, result.output + str(result.exception))


@pytest.mark.parametrize("wrong", ["tomorrow", "2026-02-30", "31.12.2026"])
def test_date_that_is_none_is_refused(there: Path, wrong: str) -> None:
    assert "%Y-%m-%d" in run("enroll", "people", "--expires", wrong, code=2)


def test_encrypted_gallery_from_the_command_line(there: Path) -> None:
    run("enroll", "people", "--consent", "file 4711 in the cellar")
    run("gallery", "new-key", "the key")
    key = ("--key", "the key")
    assert "gallery.db.keys" in run(*key, "gallery", "encrypt")
    content = Path("gallery.db").read_bytes()
    assert b"4711" not in content
    assert "Zoë".encode() not in content
    assert run(*key, "gallery", "list") == "Zoë K (2 photos)\nada (2 photos)\n"
    assert '"identity": "ada"' in run(*key, "identify", "people/ada/0.png", "--json", "--threshold", "0.01")
    assert "file 4711" in run(*key, "gallery", "show", "ada")
    backup = shutil.copy("gallery.db", "backup.db")
    run(*key, "gallery", "remove", "ada")
    shutil.copy(backup, "gallery.db")
    with pytest.raises(EmbedError, match="drop-unreadable"):
        run(*key, "gallery", "list")
    assert "erased 1 person" in run(*key, "gallery", "drop-unreadable")
    assert run(*key, "gallery", "list") == "Zoë K (2 photos)\n"


def test_key_for_one_command_comes_before_that_for_all(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("gallery", "new-key", "right")
    run("gallery", "new-key", "wrong")
    run("--key", "right", "enroll", "people")
    monkeypatch.setenv("EMBED_GALLERY_KEY_FILE", "")
    monkeypatch.setenv("EMBED_GALLERY_KEY", Path("wrong").read_text())
    with pytest.raises(EmbedError, match="encrypted with another key than that of EMBED_GALLERY_KEY"):
        run("gallery", "list")
    assert "ada" in run("--key", "right", "gallery", "list")
