"""Each attack is refused with a reason, and the server goes on as before."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from enroll.serve import server as server_module
from enroll.serve.keys import KeyFile
from tests.enroll.serve.attacks import ATTACKS, CLIENT, PEOPLE, Target
from tests.enroll.serve.conftest import parts, picture
from tests.enroll.serve.live import Live, listening
from tests.enroll.serve.test_keys import quick


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Live, Live]]:
    folder = tmp_path_factory.mktemp("servers")
    (folder / "open").mkdir()
    (folder / "locked").mkdir()
    bounds = {"max_upload": 2**20, "upload_seconds": 2.0, "max_photos": 10}
    with pytest.MonkeyPatch.context() as patch:
        quick(patch)
        patch.setattr(server_module, "_HEADERS_SECONDS", 2.0)
        with (
            listening(folder / "open", per_minute=10**6, **bounds) as first,
            listening(folder / "locked", require_key=True, per_minute=60, **bounds) as second,
        ):
            assert (
                CLIENT.post(f"{first.address}{PEOPLE}/Ada/photos", files=parts(picture(0, 0))).status_code
                == 201
            )
            yield first, second


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack(
    servers: tuple[Live, Live], tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = servers
    keys = KeyFile(Path(second.app.state.services.config.gallery + ".keys.json"))
    caplog.set_level(logging.INFO)
    access = second.app.state.services.access
    for buckets in (access._asked, access._wrong, access._all_wrong):
        buckets._held.clear()  # what another attack has used up
    ATTACKS[name](Target(first, second, keys, tmp_path))
    ours = [record for record in caplog.records if not record.name.startswith("http")]  # not the client's
    logged = json.dumps([(record.getMessage(), getattr(record, "facts", None)) for record in ours])
    assert all(record.exc_info is None for record in ours)
    assert "Traceback" not in logged
    assert "a bug" not in logged
    assert "Ada" not in logged
    for key in keys.listed():
        assert key.hashed not in logged
    assert CLIENT.get(f"{first.address}/healthz").json() == {"status": "ok"}
    assert CLIENT.get(f"{second.address}/healthz").json() == {"status": "ok"}
    people = CLIENT.get(f"{first.address}{PEOPLE}").json()["people"]
    assert [(person["name"], person["photos"]) for person in people] == [("Ada", 1)]


def test_there_are_many() -> None:
    assert len(ATTACKS) >= 40


def test_no_key_is_ever_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "enroll")
    key = KeyFile(tmp_path / "gallery.db.keys.json").new("administer")
    with listening(tmp_path, require_key=True) as live:
        for given in ({"headers": {"X-API-Key": key}}, {"params": {"api_key": key}}):
            CLIENT.get(f"{live.address}{PEOPLE}", **given)  # type: ignore[arg-type]
        CLIENT.post(f"{live.address}/v1/vision/face/list", data={"api_key": key})
        CLIENT.get(f"{live.address}/api/v1/static/{key}/images/x")
    facts = [record.facts for record in caplog.records if hasattr(record, "facts")]
    facts = [entry for entry in facts if entry["route"] != "/healthz"]  # asked until it listens
    assert [entry["status"] for entry in facts] == [200, 401, 200, 404]
    assert [entry["key"] for entry in facts] == [key[:8], "", key[:8], ""]
    assert key[9:] not in caplog.text + json.dumps(facts)
