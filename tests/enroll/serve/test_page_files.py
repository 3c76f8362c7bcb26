"""The files of the page as a server gives them: whole, with the policy, and of nowhere else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import enroll.serve
from enroll.serve.guard import CONTENT_POLICY
from enroll.serve.page import static_files
from tests.enroll.serve.conftest import client_of

STATIC = Path(enroll.serve.__file__).parent / "static"


def test_every_file_is_given_with_its_type_and_the_policy(client: TestClient) -> None:
    assert sorted(static_files()) == sorted(path.name for path in STATIC.iterdir())
    for name in static_files():
        answered = client.get(f"/static/{name}")
        assert answered.status_code == 200
        assert answered.content == (STATIC / name).read_bytes()
        assert answered.headers["content-security-policy"] == CONTENT_POLICY
    assert client.get("/static/main.js").headers["content-type"].startswith("text/javascript")
    assert client.get("/").content == (STATIC / "index.html").read_bytes()


def test_what_a_browser_has_is_not_sent_again(client: TestClient) -> None:
    first = client.get("/static/page.css")
    again = client.get("/static/page.css", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/static/page.css", headers={"If-None-Match": '"another"'}).status_code == 200


@pytest.mark.parametrize("name", ["", "%2e%2e", "..%2fapp.py", "page.css/x", "app.py", "%00"])
def test_no_other_file_is_given(client: TestClient, name: str) -> None:
    assert client.get(f"/static/{name}").status_code in (400, 404)


def test_the_page_needs_no_key_and_holds_nothing_of_the_gallery(tmp_path: Path) -> None:
    with client_of(tmp_path, require_key=True) as client:
        assert client.get("/").status_code == 200
        assert client.get("/static/main.js").status_code == 200
        assert client.get("/docs").status_code == 200
        assert client.get("/api/v1/people").status_code == 401


def test_nothing_comes_from_elsewhere_and_nothing_is_html_in_a_script() -> None:
    for name, (content, _, _) in static_files().items():
        text = content.decode()
        addresses = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"']*", text))
        assert addresses <= {"http://www.w3.org/2000/svg"}, name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text), name
    page = (STATIC / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", page)


def test_scripts_stay_small() -> None:
    for name, (content, _, _) in static_files().items():
        assert len(content.decode().splitlines()) <= 400, name


def test_the_reference_lists_every_route_without_a_script(client: TestClient) -> None:
    answered = client.get("/docs")
    assert answered.status_code == 200
    for path, item in client.get("/openapi.json").json()["paths"].items():
        for method in item:
            assert f"{method.upper()} {path}</code>" in answered.text
    assert "<script" not in answered.text
    assert "Say who is in one or several pictures" in answered.text
    assert "the object of <code>embed identify --json</code>" in answered.text
    assert not re.search(r"(?:src|href)=\"(?!/)", answered.text)
