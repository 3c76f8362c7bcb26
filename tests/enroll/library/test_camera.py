"""Cameras over RTSP, streams over HTTP: the newest frame, lost connections, and who is seen."""

from __future__ import annotations

import http.server
import logging
import socket
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from embedder import Extractor
from embedder.errors import FilmError, UsageError
from enroll import Gallery
from enroll.config import FilmConfig
from enroll.library.film import FilmIdentifier
from scripts.made_films import Visit, film_frames, write_film

pytest.importorskip("av")

from enroll.library.camera import Camera, Patience, _source_of, without_user
from enroll.library.live import Watch
from tests.enroll.library.rtsp import RtspCamera

QUICK = Patience(seconds=5.0, first_wait=0.05, longest_wait=0.1, tries=3)


def grey(count: int) -> list[np.ndarray]:
    return [np.full((48, 64, 3), 30 + 4 * index, np.uint8) for index in range(count)]


def test_frames_of_a_camera_have_times_and_order():
    with RtspCamera(grey(50)) as rtsp, Camera(rtsp.address, FilmConfig(fps=10), QUICK) as camera:
        frames = []
        for frame in camera.frames(seconds=20):
            frames.append(frame)
            brightness = np.array([frame.pixels.mean() for frame in frames])
            if len(frames) >= 5 and np.ptp(brightness) > 20:
                break
    times = [frame.seconds for frame in frames]
    assert len(times) >= 5 and times == sorted(times) and times[-1] <= 20
    assert np.diff(brightness).min() > -3 and np.ptp(brightness) > 20  # the codec rounds
    assert frames[0].pixels.shape == (48, 64, 3)
    assert rtsp.asked[0].startswith("OPTIONS") and "s3cret" not in camera.name and "t0ken" not in camera.name


def test_who_is_slow_gets_new_frames_not_old_ones():
    with RtspCamera(grey(50)) as rtsp, Camera(rtsp.address, FilmConfig(fps=10), QUICK) as camera:
        frames = camera.frames(seconds=20)
        first = next(frames)
        time.sleep(1.0)
        next(frames)
        newest = next(frames)
        assert newest.seconds > first.seconds + 0.9
        frames.close()


def test_watching_ends_on_time_for_who_is_slower_than_the_camera():
    with RtspCamera(grey(50)) as rtsp, Camera(rtsp.address, FilmConfig(fps=10), QUICK) as camera:
        begun = time.monotonic()
        for frame in camera.frames(seconds=1.5):
            time.sleep(0.3)
            assert frame.seconds < 2
        assert time.monotonic() - begun < 15  # the camera itself never ends


def test_a_lost_stream_is_connected_again(caplog: pytest.LogCaptureFixture):
    with (
        RtspCamera(grey(50), sessions=(5, 5, 10_000)) as rtsp,
        Camera(rtsp.address, FilmConfig(fps=10), QUICK) as camera,
        caplog.at_level(logging.WARNING, "enroll.library.camera"),
    ):
        for frame in camera.frames(seconds=20):
            if rtsp.played >= 3 and frame.seconds > 1:
                break
    assert rtsp.played == 3
    assert caplog.text.count("trying again in ") == 2
    assert "s3cret" not in caplog.text and "t0ken" not in caplog.text and "127.0.0.1" in caplog.text


def test_a_camera_that_is_gone_for_good_is_given_up():
    with RtspCamera(grey(50), sessions=(5,)) as rtsp:
        camera = Camera(rtsp.address, FilmConfig(fps=10), QUICK)
        frames = camera.frames()
        next(frames)
    with camera, pytest.raises(FilmError, match="the camera cannot be read") as caught:
        list(frames)
    assert "s3cret" not in str(caught.value)


def test_what_ends_the_thread_that_reads_is_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    def unforeseen(*_: object, **__: object) -> None:
        raise TypeError("an option that this version of PyAV does not know")

    monkeypatch.setattr("av.open", unforeseen)
    with (
        Camera("rtsp://127.0.0.1:9/x", patience=QUICK) as camera,
        pytest.raises(TypeError, match="an option"),
    ):
        list(camera.frames())


def test_a_camera_that_is_not_there_is_said_at_once():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    begun = time.monotonic()
    address = f"rtsp://u:s3cret@127.0.0.1:{port}/x"
    with Camera(address, patience=QUICK) as camera, pytest.raises(FilmError) as caught:
        list(camera.frames())
    assert time.monotonic() - begun < 5
    assert str(caught.value) == f"rtsp://127.0.0.1:{port}/x: the camera cannot be read: Connection refused"


def test_a_camera_that_says_nothing_is_given_up():
    patience = Patience(seconds=0.5, first_wait=0.05, longest_wait=0.1, tries=2)
    with socket.create_server(("127.0.0.1", 0)) as server:  # it accepts, and is silent
        address = f"rtsp://127.0.0.1:{server.getsockname()[1]}/x"
        begun = time.monotonic()
        with Camera(address, patience=patience) as camera, pytest.raises(FilmError):
            list(camera.frames())
    assert time.monotonic() - begun < 8


def test_watching_ends_on_time_without_frames():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"rtsp://127.0.0.1:{server.getsockname()[1]}/x"
        begun = time.monotonic()
        with Camera(address, patience=Patience(seconds=30)) as camera:
            assert list(camera.frames(seconds=0.3)) == []
        assert time.monotonic() - begun < 15


@pytest.mark.parametrize(
    "address", ["", "door", "file:///etc/passwd", "ftp://u:s3cret@h/x", "/etc/passwd", "concat:a|b", "-1"]
)
def test_what_is_no_camera_is_refused(address: str):
    with pytest.raises(UsageError, match="--camera: expected a number") as caught:
        Camera(address)
    assert "s3cret" not in str(caught.value)


def test_a_number_is_a_camera_of_this_machine(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "platform", "linux")
    assert _source_of("0") == ("/dev/video0", "v4l2")
    assert _source_of("/dev/video2") == ("/dev/video2", "v4l2")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert _source_of("1") == ("1", "avfoundation")
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(UsageError, match="dshow:NAME"):
        _source_of("0")
    assert _source_of("dshow:USB Camera") == ("video=USB Camera", "dshow")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://u:p@h:554/a?b=c#d", "rtsp://h:554/a"),
        ("rtsp://u:p@q@h/a", "rtsp://h/a"),
        ("http://h/a", "http://h/a"),
        ("0", "0"),
    ],
)
def test_no_password_is_shown(address: str, shown: str):
    assert without_user(address) == shown


def test_a_stream_over_http_leads_to_no_file(tmp_path: Path):
    """A playlist that names a file of this machine."""
    secret = write_film(tmp_path / "secret.ts", [(i / 10, grey(1)[0]) for i in range(20)], codec="mpeg4")
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile://{secret}\n#EXT-X-ENDLIST\n".encode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/vnd.apple.mpegurl")
            self.send_header("Content-Length", str(len(playlist)))
            self.end_headers()
            self.wfile.write(playlist)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_address[1]}/live.m3u8"
        with Camera(address, FilmConfig(fps=10), QUICK) as camera, pytest.raises(FilmError):
            list(camera.frames(seconds=5))
    finally:
        server.shutdown()
        server.server_close()


def test_no_protocol_of_files_is_allowed(monkeypatch: pytest.MonkeyPatch):
    import av

    given: list[dict[str, str]] = []

    def refuse(*_: object, options: dict[str, str], **__: object) -> None:
        given.append(options)
        raise av.InvalidDataError(0, "no")

    monkeypatch.setattr(av, "open", refuse)
    with Camera("http://h/live", patience=QUICK) as camera, pytest.raises(FilmError):
        list(camera.frames())
    allowed = set(given[0]["protocol_whitelist"].split(","))
    assert "rtsp" in allowed and not allowed & {"file", "pipe", "concat", "subfile", "fd", "unix"}


def test_people_are_seen_and_leave(heads_of, known: Gallery, built_in: Extractor):
    """Without a network: frames as a camera gives them."""
    visits = [
        Visit(heads_of(21), 0.5, 3.0, (0.2, 0.3), (0.6, 0.3)),
        Visit(heads_of(33), 1.0, 5.0, (0.8, 0.7), (0.3, 0.7)),
    ]
    from enroll.library.video import Frame

    times = [index / 2 for index in range(18)]
    frames = (Frame(at, pixels) for at, pixels in film_frames(visits, 9, (640, 360), times=times))
    watch = Watch(FilmIdentifier(built_in, known))
    events = list(watch.events(frames))
    assert [(event.kind, event.person.identity) for event in events] == [
        ("seen", "ada"),
        ("seen", None),
        ("left", "ada"),
        ("left", None),
    ]
    seen, _, left, _ = events
    assert seen.person.agreement.good == 2 and left.person.agreement.frames == 5
    assert left.person.intervals == ((0.5, 2.5),)
    assert not watch._said and not watch._appearances._by_track  # nothing is kept of who is gone


def test_who_is_in_sight_at_the_end_leaves(heads_of, known: Gallery, built_in: Extractor):
    from enroll.library.video import Frame

    visit = Visit(heads_of(23), 0, 9, (0.5, 0.5), (0.5, 0.5))
    frames = [Frame(at, pixels) for at, pixels in film_frames([visit], 2, (640, 360), rate=2)]
    watch = Watch(FilmIdentifier(built_in, known))
    assert [event.kind for event in watch.events(frames)] == ["seen", "left"]
    assert list(watch.close()) == []
