"""Stand-ins for tests: Frigate's two routes, and a real broker, mosquitto, on a free port."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


class FrigateStand:
    """Answers `snapshot.jpg` from a list of pictures for each event, and takes sub labels.

    Attributes:
        pictures: event to pictures; each is given once, the last one again and again.
        labels: event to what was set, in order.
        asked: method, path and options of all requests.
        status: answered in place of all else, if it is set.
    """

    def __init__(self) -> None:
        self.pictures: dict[str, list[bytes]] = {}
        self.labels: dict[str, list[dict[str, object]]] = {}
        self.asked: list[tuple[str, str, dict[str, list[str]]]] = []
        self.headers: list[dict[str, str]] = []
        self.status = 0
        self.location = ""
        stand = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                event, route = self.noted("GET")
                if stand.status:
                    return self.answer(stand.status, b"{}")
                pictures = stand.pictures.get(event)
                if route != "snapshot.jpg" or not pictures:
                    return self.answer(404, b'{"success": false, "message": "Event not found"}')
                return self.answer(200, pictures.pop(0) if len(pictures) > 1 else pictures[0])

            def do_POST(self) -> None:
                event, route = self.noted("POST")
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if stand.status:
                    return self.answer(stand.status, b"{}")
                if route != "sub_label" or event not in stand.pictures:
                    return self.answer(404, b'{"success": false, "message": "Event not found"}')
                content = json.loads(body)
                label, score = content["subLabel"], content["subLabelScore"]
                if len(label) > 100 or not 0 < score <= 1:  # as Frigate checks them
                    return self.answer(422, b"{}")
                stand.labels.setdefault(event, []).append(content)
                return self.answer(200, b'{"success": true}')

            def noted(self, method: str) -> tuple[str, str]:
                parts = urlsplit(self.path)
                stand.asked.append((method, parts.path, parse_qs(parts.query)))
                stand.headers.append(dict(self.headers))
                *_, event, route = parts.path.split("/")
                return event, route

            def answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                if stand.location:
                    self.send_header("Location", stand.location)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> FrigateStand:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def wait_for(ready: Callable[[], object], seconds: float = 20.0, what: str = "it") -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, f"{what} did not come within {seconds} s"
        time.sleep(0.02)


@contextmanager
def mosquitto(folder: Path, port: int, *lines: str) -> Iterator[None]:
    """Run a broker on a port of this machine, with some lines of configuration."""
    assert MOSQUITTO is not None
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / f"mosquitto-{port}.conf"
    content = ["per_listener_settings false", f"listener {port} 127.0.0.1", "persistence false", *lines]
    if not any(line.startswith("allow_anonymous") for line in lines):
        content.append("allow_anonymous true")
    if os.name == "posix" and os.geteuid() == 0:
        content.append("user root")  # else it gives up its rights, and cannot read the test's files
    config.write_text("\n".join(content) + "\n")
    process = subprocess.Popen(
        [MOSQUITTO, "-c", str(config)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )

    def listens() -> bool:
        assert process.poll() is None, process.stdout and process.stdout.read().decode()
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_for(listens, what="the broker")
        yield
    finally:
        process.terminate()
        process.communicate(timeout=10)


class Listener:
    """Hears all that is published, and publishes as Frigate does.

    Attributes:
        heard: topic, content and whether it was kept by the broker.
    """

    def __init__(self, port: int) -> None:
        from paho.mqtt.client import CallbackAPIVersion, Client

        self.heard: list[tuple[str, str, bool]] = []
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._ready = threading.Event()
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = lambda client, data, message: self.heard.append(
            (message.topic, message.payload.decode(), bool(message.retain))
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port)

    def __enter__(self) -> Listener:
        self._client.loop_start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, content: bytes | str) -> None:
        self._client.publish(topic, content, qos=1).wait_for_publish(10)

    def last(self, topic: str) -> str | None:
        """Give the last content of a topic."""
        return next((content for name, content, _ in reversed(self.heard) if name == topic), None)


def event(kind: str, name: str, camera: str = "door", label: str = "person", **after: object) -> bytes:
    """A message as Frigate sends it, with some of its fields."""
    facts = {
        "id": name,
        "camera": camera,
        "frame_time": 1718987129.5,
        "label": label,
        "sub_label": None,
        "top_score": 0.86,
        "false_positive": False,
        "start_time": 1718987129.3,
        "end_time": None,
        "score": 0.8,
        "box": [424, 500, 536, 712],
        "area": 23744,
        "has_snapshot": True,
        "has_clip": False,
        "current_zones": [],
        **after,
    }
    return json.dumps({"before": facts, "after": facts, "type": kind}).encode()
