"""What may be sent to a server to do harm. Each is tried on servers that go on; see `test_attacks`."""

from __future__ import annotations

import base64
import io
import json
import socket
import struct
import threading
import time
import zipfile
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from enroll.serve.keys import KeyFile
from tests.enroll.serve.conftest import parts, picture
from tests.enroll.serve.live import Live

CLIENT = httpx.Client(timeout=30, verify=False, limits=httpx.Limits(max_keepalive_connections=0))
API = "/api/v1"
PEOPLE = f"{API}/people"


@dataclass(frozen=True)
class Target:
    """What is attacked.

    Attributes:
        open: a server of this machine alone, without keys. It has Ada, and reads bodies of 1 MiB in 2 s.
        locked: one that asks for keys, and answers 60 requests a minute of a key.
        keys: of the locked one.
        tmp: folder of this attack.
    """

    open: Live
    locked: Live
    keys: KeyFile
    tmp: Path

    def ask(self, method: str, path: str, **given: Any) -> httpx.Response:
        """Ask the open server."""
        return CLIENT.request(method, f"{self.open.address}{path}", **given)

    def ask_locked(self, method: str, path: str, key: str | None = None, **given: Any) -> httpx.Response:
        """Ask the locked server."""
        headers = given.pop("headers", {}) | ({"X-API-Key": key} if key else {})
        return CLIENT.request(method, f"{self.locked.address}{path}", headers=headers, **given)


Attack = Callable[[Target], None]


def refused(answered: httpx.Response, *statuses: int) -> str:
    """Check that a request was refused with a reason in words; gives the reason."""
    assert answered.status_code in statuses, (answered.status_code, answered.text[:300])
    facts = answered.json()
    reason: str = facts.get("detail") or facts.get("message") or facts.get("error")
    assert reason
    assert "Traceback" not in answered.text
    assert "gallery.db" not in answered.text
    return reason


def raw(target: Target, *sent: bytes) -> bytes:
    """Send bytes to the open server."""
    return target.open.talk(*sent)


def head(method: str, path: str, *lines: str) -> bytes:
    """The head of a request that ends its connection."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "Connection: close", "", ""]).encode()


# Bodies


def announced_too_large(target: Target) -> None:
    answered = raw(target, head("POST", f"{API}/identify", "Host: localhost", "Content-Length: 99999999999"))
    assert answered.startswith(b"HTTP/1.1 413")


def chunked_too_large(target: Target) -> None:
    def chunks() -> Any:
        for _ in range(64):
            yield b"x" * 65536

    try:
        answered = target.ask(
            "POST", f"{API}/identify", content=chunks(), headers={"Content-Type": "image/png"}
        )
    except httpx.TransportError:  # it has closed the connection before it could be answered
        return
    refused(answered, 413)


def length_that_is_none(target: Target) -> None:
    for wrong in ("-1", "1e3", "0x10", "", "9" * 100):
        answered = raw(target, head("POST", f"{API}/identify", "Host: localhost", f"Content-Length: {wrong}"))
        assert answered[9:12] in (b"400", b"413"), answered[:60]


def two_lengths(target: Target) -> None:
    lengths = "Content-Length: 1", "Content-Length: 200"
    assert raw(target, head("POST", f"{API}/identify", "Host: localhost", *lengths), b"x")[9:12] == b"400"


def length_and_chunks(target: Target) -> None:
    """A proxy before us may count the one and we the other: a second request inside of the first."""
    smuggled = head("DELETE", f"{PEOPLE}/Ada", "Host: localhost")
    begin = head(
        "POST", f"{API}/identify", "Host: localhost", f"Content-Length: {5 + len(smuggled)}",
        "Transfer-Encoding: chunked",
    )  # fmt: skip
    raw(target, begin, b"0\r\n\r\n" + smuggled)
    assert target.ask("GET", f"{PEOPLE}/Ada").status_code == 200


def slow_head(target: Target) -> None:
    with socket.create_connection(("127.0.0.1", target.open.port), timeout=30) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n")
        begun = time.monotonic()
        assert connection.recv(1000) == b""
        assert time.monotonic() - begun < 20


def slow_body(target: Target) -> None:
    lines = "Host: localhost", "Content-Length: 1000", "Content-Type: image/png"
    answered = raw(target, head("POST", f"{API}/identify", *lines), b"x")
    assert answered.startswith(b"HTTP/1.1 408"), answered[:100]


def body_that_ends_early(target: Target) -> None:
    with socket.create_connection(("127.0.0.1", target.open.port), timeout=30) as connection:
        lines = "Host: localhost", "Content-Length: 1000", "Content-Type: image/png"
        connection.sendall(head("POST", f"{API}/identify", *lines) + b"x")
        connection.shutdown(socket.SHUT_RDWR)


def no_boundary(target: Target) -> None:
    refused(
        target.ask("POST", f"{API}/identify", content=b"x", headers={"Content-Type": "multipart/form-data"}),
        400,
    )


def form(target: Target, body: bytes, status: int = 400) -> str:
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    return refused(target.ask("POST", f"{API}/identify", content=body, headers=headers), status)


def form_without_an_end(target: Target) -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="photos"; filename="1.png"\r\n\r\n'
    form(target, part + picture(0, 0))


def form_of_nonsense(target: Target) -> None:
    for body in (
        b"\0" * 1000,
        b"--b",
        b"--b\r\n\r\n--b--",
        b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n",
    ):
        form(target, body)


def form_of_many_files(target: Target) -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="p"; filename="1"\r\n\r\n\r\n'
    assert "Too many files" in form(target, part * 5000 + b"--b--\r\n")


def form_of_many_fields(target: Target) -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="p"\r\n\r\n\r\n'
    assert "Too many fields" in form(target, part * 5000 + b"--b--\r\n")


def form_with_a_long_field(target: Target) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="p"\r\n\r\n' + b"x" * 500_000 + b"\r\n--b--\r\n"
    assert "exceeded maximum size" in form(target, body)


def form_with_a_long_head(target: Target) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="' + b"x" * 500_000 + b'"\r\n\r\nx\r\n--b--\r\n'
    form(target, body)


def form_with_a_bad_charset(target: Target) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b; charset=\xff"}
    body = b'--b\r\nContent-Disposition: form-data; name="\xff\xfe"\r\n\r\n\xff\r\n--b--\r\n'
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}
    refused(target.ask("POST", f"{API}/identify", content=body, headers=encoded), 400)


def deep_json(target: Target) -> None:
    headers = {"Content-Type": "application/json"}
    for deep in (b"[" * 200_000, b'{"a":' * 100_000, b'{"photos":' + b"[" * 90 + b"]" * 90 + b"}"):
        refused(target.ask("POST", f"{API}/identify", content=deep, headers=headers), 400)
        refused(target.ask("POST", f"{PEOPLE}/Ada/rename", content=deep, headers=headers), 400)


def numbers_that_are_none(target: Target) -> None:
    headers = {"Content-Type": "application/json"}
    for text in (
        b"[NaN]",
        b'{"fpir": Infinity}',
        b'{"fpir": 1e999}',
        b'{"fpir": ' + b"9" * 5000 + b"}",
        b"\xff",
    ):
        refused(target.ask("POST", f"{API}/calibration", content=text, headers=headers), 400)


def base64_that_is_none(target: Target) -> None:
    for text in ("?", "====", "data:text/html,<script>", "A" * 5, None, {}, 1):
        refused(target.ask("POST", f"{API}/identify", json={"photos": [text]}), 400)


def compressed_body(target: Target) -> None:
    """A few bytes that would become many."""
    bomb = zlib.compress(b"\0" * 10_000_000)
    headers = {"Content-Type": "image/png", "Content-Encoding": "deflate"}
    refused(target.ask("POST", f"{API}/identify", content=bomb, headers=headers), 415)


def another_kind_of_body(target: Target) -> None:
    for kind in ("text/html", "text/xml", "application/x-python-pickle", "?", "multipart/mixed; boundary=b"):
        refused(target.ask("POST", f"{API}/identify", content=b"x", headers={"Content-Type": kind}), 415)


def no_http(target: Target) -> None:
    for sent in (b"\0" * 100, b"\x16\x03\x01\x02\0\x01", b"GET /healthz\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"):
        answered = raw(target, sent, b"\r\n\r\n")
        assert answered[9:12] in (b"400", b"505", b"421", b""), (sent, answered[:100])


def upgrade_to_something_else(target: Target) -> None:
    lines = "Host: localhost", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: eA=="
    assert b"101 Switching" not in raw(target, head("GET", f"{API}/identify", *lines))


# Pictures


def picture_refused(target: Target, data: bytes) -> None:
    refused(target.ask("POST", f"{API}/identify", files=parts(data)), 422)
    refused(target.ask("POST", f"{PEOPLE}/Eve/photos", files=parts(data)), 422)
    refused(target.ask("POST", f"{API}/recognition/recognize", files=parts(data, field="file")), 400)
    refused(target.ask("POST", "/v1/vision/face/recognize", files=parts(data, field="image")), 400)


def _png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    body = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


def bomb_of_pixels(target: Target) -> None:
    for size in ((100_000, 100_000), (65_535, 65_535), (2**31 - 1, 1), (1, 2**31 - 1), (0, 0)):
        picture_refused(target, _png(*size))


def bomb_of_text(target: Target) -> None:
    text = zlib.compress(b"\0" * 50_000_000)
    data = b"a\0\0" + text
    chunk = struct.pack(">I", len(data)) + b"zTXt" + data + struct.pack(">I", zlib.crc32(b"zTXt" + data))
    picture_refused(target, _png(60_000, 60_000)[:33] + chunk)


def half_a_picture(target: Target) -> None:
    picture_refused(target, picture(0, 0)[:40])


def a_page_called_picture(target: Target) -> None:
    for data in (
        b"<svg onload='alert(1)' xmlns='http://www.w3.org/2000/svg'/>",
        b"<script>alert(1)</script>",
    ):
        picture_refused(target, data)


def an_archive_called_picture(target: Target) -> None:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr("../../evil.png", picture(0, 0))
    picture_refused(target, written.getvalue())


def formats_that_run_programs(target: Target) -> None:
    for data in (
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
        b"#EXTM3U\nfile:///etc/passwd",
        b"\x80\x04cos\nsystem\n.",
        b"gAAA",
    ):
        picture_refused(target, data)


# Names


def name_kept_out(target: Target, name: str) -> None:
    refused(target.ask("POST", PEOPLE, files=parts(picture(9, 0)), data={"name": name}), 400)


def names_that_act_on_a_screen(target: Target) -> None:
    for name in ("a\x1b[2J", "a\nb", "a\rb", "a\0b", "a\u202eb", "\u2028", "\u200b", "a" * 201, " "):
        name_kept_out(target, name)


def names_that_are_code(target: Target) -> None:
    """They are names like any other: JSON, which no browser takes for a page."""
    for name in ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "'); DROP TABLE person; --",
                 "{{7*7}}", "${7*7}", "__proto__", "%s%n"):  # fmt: skip
        answered = target.ask("POST", PEOPLE, files=parts(picture(9, 0)), data={"name": name})
        assert answered.json()["name"] == name
        listed = target.ask("GET", PEOPLE)
        assert listed.headers["content-type"] == "application/json"
        assert listed.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in listed.headers["content-security-policy"]
        crop = target.ask("GET", answered.json()["photos"][0]["crop"])
        assert crop.headers["content-type"] == "image/png"
        assert target.ask("DELETE", f"{PEOPLE}/{quote(name, safe='')}").status_code == 200


def names_that_climb(target: Target) -> None:
    before = _files(target)
    for name in ("../../evil", "..", "/etc/passwd", "..\\..\\evil", "C:\\evil", "a/../../b"):
        files = [("photos", (f"{name}/{name}.png", picture(9, 1), "image/png"))]
        answered = target.ask("POST", PEOPLE, files=files, data={"name": name})
        assert answered.status_code == 201, answered.text
        (photo,) = answered.json()["photos"]
        assert photo["photo"] == f"gallery.db.photos/{photo['sha256']}"
        assert target.ask("POST", f"{API}/recognition/subjects", json={"subject": "x"}).status_code == 201
        assert target.ask("DELETE", f"{API}/recognition/subjects/x").status_code == 200
        assert target.ask("DELETE", f"{API}/recognition/faces", params={"subject": name}).json() == {
            "deleted": 1
        }
    assert _files(target) == before


def _files(target: Target) -> set[str]:
    folder = Path(target.open.app.state.services.config.gallery).parent
    return {str(path) for path in folder.parent.rglob("*") if path.name != ".lock"}


def names_in_headers(target: Target) -> None:
    """An answer that could be split in two, or a log line."""
    answered = raw(target, head("GET", "/healthz", "Host: localhost", "X-Request-ID: a\x01b<script>"))
    assert b"<script>" not in answered
    answered = raw(target, head("GET", "/healthz", "Host: localhost", f"X-Request-ID: {'x' * 65}"))
    assert b"x" * 65 not in answered


def nul_in_an_address(target: Target) -> None:
    for path in (f"{PEOPLE}/Ada%00", f"{PEOPLE}/%00/photos"):
        assert raw(target, head("GET", path, "Host: localhost"))[9:12] == b"400"


# Addresses


def addresses_that_climb(target: Target) -> None:
    for path in ("/../../etc/passwd", "/static/../../etc/passwd", "/..%2f..%2fetc%2fpasswd", "//etc/passwd",
                 "/%2e%2e/%2e%2e/etc/passwd", "/static/%2e%2e/app.py", "/..\\..\\etc\\passwd"):  # fmt: skip
        answered = raw(target, head("GET", path, "Host: localhost"))
        assert answered[9:12] in (b"404", b"400"), (path, answered[:50])
        assert b"root:" not in answered


def address_of_another_server(target: Target) -> None:
    answered = raw(target, head("GET", "http://evil.example/healthz", "Host: evil.example"))
    assert answered[9:12] in (b"421", b"404", b"400")


def long_address(target: Target) -> None:
    assert raw(target, head("GET", f"/{'x' * 5000}", "Host: localhost"))[9:12] == b"414"
    assert raw(target, head("GET", f"/{'x' * 100_000}", "Host: localhost"))[9:12] in (b"400", b"414", b"431")


def many_headers(target: Target) -> None:
    lines = [f"X-{number}: {'x' * 100}" for number in range(2000)]
    try:
        answered = raw(target, head("GET", "/healthz", "Host: localhost", *lines))
    except ConnectionResetError:  # it did not read to the end
        return
    assert answered[9:12] in (b"400", b"431"), answered[:60]


def rebinding(target: Target) -> None:
    """A name of the attacker's that leads to this machine: the browser takes us for the attacker's server."""
    for host in ("evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example",
                 "user@localhost", "localhost/x", "", "localhost localhost"):  # fmt: skip
        answered = raw(target, head("GET", PEOPLE, f"Host: {host}"))
        assert answered[9:12] in (b"421", b"400"), (host, answered[:60])
        assert b"Ada" not in answered
    assert raw(target, head("GET", PEOPLE))[9:12] in (b"421", b"400")
    assert raw(target, head("GET", PEOPLE, "Host: localhost", "Host: evil.example"))[9:12] in (b"421", b"400")
    assert (
        raw(target, head("GET", PEOPLE, "Host: localhost", "X-Forwarded-Host: evil.example"))[9:12] == b"200"
    )


def page_of_another_site(target: Target) -> None:
    for origin in (
        "https://evil.example",
        "null",
        "http://localhost.evil.example",
        "file://",
        "http://127.0.0.1:1",
    ):
        for method, path in (("GET", PEOPLE), ("DELETE", f"{PEOPLE}/Ada"), ("POST", f"{API}/identify")):
            answered = target.ask(method, path, headers={"Origin": origin})
            refused(answered, 403)
            assert "access-control-allow-origin" not in answered.headers


def leave_of_another_site(target: Target) -> None:
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "DELETE"}
    answered = target.ask("OPTIONS", f"{PEOPLE}/Ada", headers=headers)
    refused(answered, 403)
    assert not [name for name in answered.headers if name.startswith("access-control")]


def picture_or_form_of_another_site(target: Target) -> None:
    """They carry no Origin, but browsers say where they come from."""
    for site in ("cross-site", "same-site"):
        headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"}
        refused(target.ask("GET", PEOPLE, headers=headers), 403)
        refused(target.ask("POST", f"{API}/identify", headers=headers | {"Sec-Fetch-Mode": "navigate"}), 403)
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert target.ask("GET", "/healthz", headers=followed).status_code == 200  # a link to here


def other_methods(target: Target) -> None:
    for method in ("TRACE", "CONNECT", "PROPFIND", "PATCH", "X" * 100, "GETx"):
        assert raw(target, head(method, PEOPLE, "Host: localhost"))[9:12] in (b"405", b"400", b"404")


def addresses_in_requests(target: Target) -> None:
    """Nothing that a request names is fetched or opened."""
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.settimeout(0.2)
        url = f"http://127.0.0.1:{trap.getsockname()[1]}/1.png"
        for text in (url, f"file://{target.tmp}/1.png", f"{target.tmp}/1.png", "\\\\127.0.0.1\\x"):
            (target.tmp / "1.png").write_bytes(picture(0, 0))
            refused(target.ask("POST", f"{API}/identify", json={"photos": [text]}), 400)
            refused(target.ask("POST", f"{API}/identify", data={"photos": text, "url": text}), 400)
            refused(target.ask("POST", f"{API}/identify", params={"url": text, "file": text}), 400)
            refused(target.ask("POST", f"{API}/recognition/recognize", json={"file": text}), 400)
            refused(target.ask("POST", f"{API}/jobs/enroll-folder", json={"folder": text}), 404)
            refused(target.ask("POST", "/v1/vision/face/recognize", data={"image": text}), 400)
        try:
            trap.accept()
        except TimeoutError:
            return
    raise AssertionError("an address of a request was fetched")


def numbers_of_others(target: Target) -> None:
    for wrong in ("1' OR 1=1", "-1", "999999999999999999999", "x"):
        refused(target.ask("GET", f"{PEOPLE}/Ada/photos/{wrong}/crop"), 404)
        refused(target.ask("DELETE", f"{PEOPLE}/Ada/photos/{wrong}"), 404, 405)
        refused(target.ask("GET", f"{API}/jobs/{wrong}"), 404)
        refused(target.ask("DELETE", f"{API}/recognition/faces/{wrong}"), 404)


def vectors_that_are_none(target: Target) -> None:
    for wrong in (
        None,
        [],
        [[]],
        [[0] * 48],
        [["x"] * 48],
        [[1] * 47],
        [[1e999] * 48],
        [[None] * 48],
        [[[1]] * 48],
    ):
        content = json.dumps({"embeddings": wrong}).encode()
        headers = {"Content-Type": "application/json"}
        for path in ("embeddings/recognize", "embeddings/faces/x/verify"):
            refused(target.ask("POST", f"{API}/recognition/{path}", content=content, headers=headers), 400)


def parameters_that_are_none(target: Target) -> None:
    for wrong in ("limit=-1", "limit=x", "det_prob_threshold=2", "det_prob_threshold=nan",
                  "prediction_count=0", "prediction_count=99999999999"):  # fmt: skip
        files = parts(picture(0, 0), field="file")
        refused(target.ask("POST", f"{API}/recognition/recognize?{wrong}", files=files), 400)
    for wrong in ("2", "-1", "nan", "x"):
        files = parts(picture(0, 0), field="image")
        refused(target.ask("POST", "/v1/vision/face", files=files, data={"min_confidence": wrong}), 400)


# Keys


def no_key(target: Target) -> None:
    for method, path in (
        ("GET", PEOPLE),
        ("POST", f"{API}/identify"),
        ("GET", "/metrics"),
        ("GET", f"{API}/jobs"),
    ):
        refused(target.ask_locked(method, path), 401)
    refused(target.ask_locked("POST", f"{API}/recognition/recognize"), 400)
    refused(target.ask_locked("POST", "/v1/vision/face/list"), 401)
    for path in ("/healthz", "/readyz"):
        assert target.ask_locked("GET", path).json() == {"status": "ok"}


def key_in_the_address(target: Target) -> None:
    key = target.keys.new("administer")
    refused(target.ask_locked("GET", f"{PEOPLE}?api_key={key}&key={key}&x-api-key={key}"), 401)
    refused(target.ask_locked("GET", f"{API}/static/{key}/images/x"), 404)


def a_wrong_key_twice(target: Target) -> None:
    """That it is remembered as none does not make it one."""
    for _ in range(3):
        refused(target.ask_locked("GET", PEOPLE, "0a0b0c0d-3333-4000-8000-000000000000"), 401)


def guessing(target: Target) -> None:
    statuses = [
        target.ask_locked("GET", PEOPLE, f"{number:08x}-0000-4000-8000-000000000000").status_code
        for number in range(30)
    ]
    assert statuses[:10] == [401] * 10
    assert statuses[-1] == 429
    answered = target.ask_locked("GET", PEOPLE, "x")
    refused(answered, 429)
    assert int(answered.headers["retry-after"]) >= 1


def guessing_at_once(target: Target) -> None:
    def guess(number: int) -> int:
        return target.ask_locked("GET", PEOPLE, f"{number:08x}-1111-4000-8000-000000000000").status_code

    with ThreadPoolExecutor(10) as pool:
        assert set(pool.map(guess, range(40))) <= {401, 429}
    keys = target.locked.app.state.services.access._keys  # how many it has hashed
    assert len(keys._checked) <= 25


def guessing_in_a_form(target: Target) -> None:
    for number in range(20):
        data = {"api_key": f"{number:08x}-2222-4000-8000-000000000000"}
        refused(target.ask_locked("POST", "/v1/vision/face/list", data=data), 401, 429)
    refused(target.ask_locked("POST", "/v1/vision/face/list", data=data), 429)


def a_key_of_less(target: Target) -> None:
    keys = {scope: target.keys.new(scope) for scope in ("identify", "enroll", "administer")}
    for key in keys.values():
        assert target.ask_locked("GET", PEOPLE, key).status_code == 200
    for scope, method, path in (
        ("identify", "POST", f"{PEOPLE}/Eve/photos"),
        ("identify", "DELETE", f"{PEOPLE}/Ada"),
        ("identify", "POST", f"{API}/jobs/enroll"),
        ("enroll", "DELETE", f"{PEOPLE}/Ada"),
        ("enroll", "POST", f"{PEOPLE}/Ada/rename"),
        ("enroll", "POST", f"{API}/calibration"),
        ("enroll", "POST", f"{API}/jobs/re-embed"),
        ("enroll", "DELETE", f"{API}/recognition/subjects"),
        ("enroll", "POST", "/v1/vision/face/delete"),
    ):
        refused(target.ask_locked(method, path, keys[scope], json={"name": "x"}), 403)


def a_revoked_key_again(target: Target) -> None:
    key = target.keys.new("identify")
    assert target.ask_locked("GET", PEOPLE, key).status_code == 200
    target.keys.revoke(key)
    refused(target.ask_locked("GET", PEOPLE, key), 401)


def a_request_again(target: Target) -> None:
    """What was recorded and is sent again changes nothing more."""
    sent = {"files": parts(picture(9, 5))}
    assert target.ask("POST", f"{PEOPLE}/Again/photos", **sent).json()["added"] == 1
    assert target.ask("POST", f"{PEOPLE}/Again/photos", **sent).json()["added"] == 0
    assert target.ask("DELETE", f"{PEOPLE}/Again").status_code == 200
    refused(target.ask("DELETE", f"{PEOPLE}/Again"), 404)


def more_than_a_minute_allows(target: Target) -> None:
    key = target.keys.new("identify")
    statuses = []
    while 429 not in statuses and len(statuses) < 500:  # a minute's worth comes back while it is asked
        statuses.append(target.ask_locked("GET", f"{API}/model", key).status_code)
    assert statuses.count(200) >= 60
    assert statuses[-1] == 429


def a_key_that_is_none(target: Target) -> None:
    for wrong in ("x" * 4000, "\t", "' OR 1=1 --", "00000000", base64.b64encode(b"x" * 99).decode()):
        lines = "Host: localhost", f"X-API-Key: {wrong}"
        answered = target.locked.talk(head("GET", PEOPLE, *lines))
        assert answered[9:12] in (b"401", b"400"), answered[:60]
    answered = target.locked.talk(head("GET", PEOPLE, "Host: localhost", "Authorization: Basic eDp5"))
    assert answered[9:12] == b"401"


def many_at_once(target: Target) -> None:
    def ask(_: int) -> int:
        return target.ask("POST", f"{API}/identify", files=parts(picture(0, 2))).status_code

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(ask, range(64))) <= {200, 503}


def connections_that_say_nothing(target: Target) -> None:
    held = [socket.create_connection(("127.0.0.1", target.open.port), timeout=30) for _ in range(100)]
    try:
        assert target.ask("GET", "/healthz").status_code == 200
    finally:
        for connection in held:
            connection.close()


def enrolling_one_picture_twice_at_once(target: Target) -> None:
    """Only one name may have it, and its picture stays if it is someone's."""
    ready = threading.Barrier(4)

    def enroll(number: int) -> int:
        ready.wait()
        return target.ask("POST", f"{PEOPLE}/race{number}/photos", files=parts(picture(9, 6))).status_code

    with ThreadPoolExecutor(4) as pool:
        statuses = sorted(pool.map(enroll, range(4)))
    assert statuses == [201, 409, 409, 409]
    (person,) = target.ask("GET", PEOPLE, params={"search": "race"}).json()["people"]
    (photo,) = target.ask("GET", f"{PEOPLE}/{person['name']}/photos").json()["photos"]
    assert target.ask("GET", photo["crop"]).status_code == 200
    target.ask("DELETE", f"{PEOPLE}/{person['name']}")


_NOT_ATTACKS = {"refused", "raw", "head", "form", "picture_refused", "name_kept_out", "parts", "picture"}
ATTACKS: dict[str, Attack] = {
    name.replace("_", " "): attack
    for name, attack in list(globals().items())
    if callable(attack)
    and not isinstance(attack, type)
    and not name.startswith("_")
    and name not in _NOT_ATTACKS
    and attack.__module__ == __name__
}
