"""Frames of films: times, turns, sizes; and films that are broken, endless, huge or no films at all."""

from __future__ import annotations

import http.server
import importlib.util
import io
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from embedder.config.faces import ImageLimits, use_limits
from embedder.errors import FilmError
from enroll.config import FilmConfig
from enroll.library import video
from enroll.library.film_kinds import film_kind, is_film
from enroll.library.video import Film, Frame
from scripts.made_films import film_frames, write_film

av = pytest.importorskip("av")
SIZE = (64, 48)


def frames_at(times, size=SIZE) -> Iterator[tuple[float, np.ndarray]]:
    """Frames whose brightness tells their number, and whose upper left quarter is red."""
    for index, seconds in enumerate(times):
        pixels = np.full((size[1], size[0], 3), 40 + 20 * (index % 9), np.uint8)
        pixels[: size[1] // 2, : size[0] // 2] = (230, 20, 20)
        yield seconds, pixels


def read(path: Path, **config) -> tuple[list[Frame], Film]:
    film = Film(path, FilmConfig(**config))
    return list(film.frames()), film


def error_of(path: Path, **config) -> str:
    with pytest.raises(FilmError) as caught:
        read(path, **config)
    assert str(caught.value).startswith(f"{path}: ")
    return caught.value.reason


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds of ten frames each."""
    times = [index / 10 for index in range(60)]
    return write_film(tmp_path_factory.mktemp("films") / "plain.mp4", frames_at(times))


def red_corner(pixels: np.ndarray) -> str:
    height, width = pixels.shape[:2]
    red = pixels[..., 0].astype(int) - pixels[..., 1] > 90
    rows, columns = np.nonzero(red)
    row = "top" if rows.mean() < height / 2 else "bottom"
    return f"{row} {'left' if columns.mean() < width / 2 else 'right'}"


def test_frames_have_times_since_the_first(plain: Path):
    frames, film = read(plain, fps=2)
    assert [frame.seconds for frame in frames] == [index / 2 for index in range(12)]
    assert {frame.pixels.shape for frame in frames} == {(48, 64, 3)}
    assert (film.decoded, film.skipped, film.notes, film.seconds) == (60, 0, [], 5.9)
    assert red_corner(frames[0].pixels) == "top left"


@pytest.mark.parametrize(("fps", "count"), [(0.5, 3), (1, 6), (10, 60), (60, 60)])
def test_so_many_frames_a_second_are_looked_at(plain: Path, fps: float, count: int):
    assert len(read(plain, fps=fps)[0]) == count


def test_a_variable_frame_rate_is_sampled_by_time(tmp_path: Path):
    """A phone that slows down in the dark: 25 frames in the first second, then one every 0.8 seconds."""
    times = [*(index / 25 for index in range(25)), 1.0, 1.8, 2.6, 3.4, 4.2]
    frames, _ = read(write_film(tmp_path / "phone.mp4", frames_at(times), 25), fps=2)
    assert [round(frame.seconds, 3) for frame in frames] == [0.0, 0.52, 1.0, 1.8, 2.6, 3.4, 4.2]


@pytest.mark.parametrize(
    ("rotation", "corner", "shape"),
    [
        (0, "top left", (48, 64, 3)),
        (90, "bottom left", (64, 48, 3)),  # counterclockwise
        (180, "bottom right", (48, 64, 3)),
        (-90, "top right", (64, 48, 3)),  # as a phone held upright writes
    ],
)
def test_frames_are_upright(tmp_path: Path, rotation: int, corner: str, shape: tuple[int, ...]):
    path = write_film(tmp_path / "turned.mp4", frames_at([0, 0.1, 0.2]), rotation=rotation)
    (frame,), _ = read(path)
    assert (red_corner(frame.pixels), frame.pixels.shape) == (corner, shape)


def test_the_matrix_in_the_file_is_that_of_phones(tmp_path: Path):
    """A quarter clockwise is (0 1; -1 0) in numbers of 16.16 bits (ISO/IEC 14496-12)."""
    path = write_film(tmp_path / "turned.mp4", frames_at([0, 0.1]), rotation=-90)
    data = path.read_bytes()
    matrix = np.frombuffer(data, ">i4", 4, data.index(b"tkhd") + 4 + 40)
    assert matrix.tolist() == [0, 0x10000, 0, -0x10000]


def test_pixels_that_are_not_square_are_made_so(tmp_path: Path):
    path = tmp_path / "dv.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = 2
        for _, pixels in frames_at([0, 0.1]):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        file.mux(stream.encode())
    (frame,), _ = read(path)
    assert frame.pixels.shape == (48, 128, 3)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"),
        ("a.mov", "mjpeg"),
        ("a.mkv", "libx264"),
        ("a.webm", "libvpx"),
        ("a.avi", "mpeg4"),
        ("a.ts", "mpeg2video"),
        ("a.mpg", "mpeg2video"),
        ("a.flv", "flv"),
        ("a.wmv", "wmv2"),
    ],
)
def test_kinds(tmp_path: Path, name: str, codec: str):
    times = [index / 25 for index in range(40)]
    path = write_film(tmp_path / name, frames_at(times), 25, codec)
    nameless = path.with_suffix("")
    path.rename(nameless)
    assert is_film(nameless)
    frames, film = read(nameless)
    assert [round(frame.seconds * 2) for frame in frames] == [0, 1, 2, 3]
    assert film.notes == []


def test_photos_are_no_films(tmp_path: Path):
    picture = Image.new("RGB", (40, 30), "red")
    for kind in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "PPM"):
        path = tmp_path / f"{kind}"
        picture.save(path, kind)
        assert not is_film(path), kind
    assert not is_film(tmp_path / "missing") and not is_film(tmp_path)
    assert is_film(tmp_path / "missing.MP4")
    assert film_kind(b"") is None and film_kind(b"\0\0\0\x18ftypheic") is None


@pytest.mark.parametrize("name", ["photo.jpg", "photo.heic"])
def test_no_photo_is_opened_to_see_whether_it_is_a_film(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("enroll.library.film_kinds.open_file", lambda path: pytest.fail(f"opened {path}"))
    assert not is_film(name)


def test_a_text_is_no_film(tmp_path: Path):
    path = tmp_path / "text.mp4"
    path.write_text("not a film " * 100)
    assert "expected a film (MP4, MOV, " in error_of(path)
    path.write_bytes(b"")
    assert error_of(path) == "the file is empty"
    assert "No such file" in error_of(tmp_path / "missing.mp4")


@pytest.mark.skipif(os.name == "nt", reason="named pipes and devices")
def test_what_never_ends_is_not_opened(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.mp4")
    assert "cannot be read" in error_of(tmp_path / "pipe.mp4")
    (tmp_path / "zero.mp4").symlink_to("/dev/zero")
    assert "cannot be read" in error_of(tmp_path / "zero.mp4")


def test_a_film_without_pictures(tmp_path: Path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("aac", rate=44100)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), format="fltp", layout="mono")
        sound.rate = 44100
        file.mux(stream.encode(sound))
        file.mux(stream.encode())
    assert error_of(path) == "expected a film with pictures, got 1 audio stream and no video"


@pytest.mark.parametrize("kept", [0.02, 0.3, 0.7])
@pytest.mark.parametrize("name", ["cut.mp4", "cut.mkv", "cut.ts"])
def test_a_film_whose_end_is_missing(tmp_path: Path, plain: Path, name: str, kept: float):
    """An MP4 has its index at the end and is lost; of others what is there is answered."""
    path = write_film(tmp_path / name, film_frames([], 4, SIZE, noise=20.0))
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    if name == "cut.mp4":
        assert error_of(path).startswith("cannot be read as a film: ")
    elif kept > 0.1:
        frames, film = read(path)
        assert 0 < len(frames) < 8
        told = [note for note in film.notes if note.startswith("its end is missing: ")]
        assert len(told) == (name == "cut.mkv" and kept < 0.5)  # a transport stream says no length
        assert not film.lost


def test_sound_that_goes_on_is_no_missing_end(tmp_path: Path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as file:
        pictures, sound = file.add_stream("libx264", rate=10), file.add_stream("aac", rate=44100)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), number, np.uint8), format="rgb24")
            frame.pts = number
            file.mux(pictures.encode(frame))
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 6 * 44100), np.float32), "fltp", "mono")
        silence.rate = 44100
        for stream, last in ((pictures, None), (sound, silence), (sound, None)):
            file.mux(stream.encode(last))
    film = read(path)[1]
    assert (film.notes, film.stated) == ([], 1.0)


def test_a_disk_that_goes_away_is_told_from_a_broken_film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write_film(tmp_path / "film.mkv", film_frames([], 4, SIZE, noise=20.0))
    size, opened = path.stat().st_size, video._opened

    def unplugged(where: Path) -> io.BufferedReader:
        class Gone(io.BufferedReader):
            def read(self, count: int | None = -1) -> bytes:
                if self.tell() > size // 2:
                    raise OSError(5, "Input/output error")
                return super().read(count)

        gone = Gone(opened(where).detach())  # type: ignore[attr-defined]
        gone.seek(0)
        return gone

    monkeypatch.setattr(video, "_opened", unplugged)
    frames, film = read(path)
    assert frames and film.lost
    assert film.notes == ["not read to its end: the file cannot be read any more: Input/output error"]


@pytest.fixture(scope="module")
def jpegs(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[int]]:
    """A film of 60 JPEGs, and where they begin."""
    path = tmp_path_factory.mktemp("jpegs") / "film.avi"
    data = write_film(path, film_frames([], 6, SIZE, noise=20.0), codec="mjpeg").read_bytes()
    starts = [index for index in range(len(data)) if data.startswith(b"\xff\xd8\xff", index)]
    assert len(starts) == 60
    return data, starts


def damaged(path: Path, jpegs: tuple[bytes, list[int]], which: range) -> Path:
    """Write the film with some JPEGs whose tables are gone."""
    data, starts = bytearray(jpegs[0]), jpegs[1]
    for number in which:
        data[starts[number] : starts[number] + 650] = bytes(650)
    path.write_bytes(data)
    return path


def test_damaged_packets_are_skipped_and_counted(tmp_path: Path, jpegs):
    frames, film = read(damaged(tmp_path / "film.avi", jpegs, range(10, 20)), fps=10)
    assert film.skipped == 10 and len(frames) == 50
    assert film.notes == ["10 packets or frames cannot be decoded"]


def test_a_film_of_nothing_but_damage(tmp_path: Path, jpegs):
    path = damaged(tmp_path / "film.avi", jpegs, range(60))
    assert error_of(path) == "has no frame that can be decoded: 60 packets cannot be decoded"


def test_damage_is_given_up_after_many_packets(tmp_path: Path, jpegs, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(video, "_BROKEN_IN_A_ROW", 10)
    _, film = read(damaged(tmp_path / "film.avi", jpegs, range(20, 40)))
    assert film.decoded == 20
    assert film.notes[0] == "not read to its end: 10 packets in a row cannot be decoded"


def test_duration_frames_and_time_are_bounded(plain: Path, monkeypatch: pytest.MonkeyPatch):
    frames, film = read(plain, max_duration=2)
    assert (len(frames), frames[-1].seconds) == (5, 2.0)
    assert film.notes == ["not read to its end: only the first 2 seconds are looked at"]
    frames, film = read(plain, max_frames=20)
    assert (len(frames), film.notes) == (4, ["not read to its end: only the first 20 frames are looked at"])
    ticks = iter(range(1000))
    monkeypatch.setattr(time, "monotonic", lambda: next(ticks))
    frames, film = read(plain, max_time=30)
    assert 0 < len(frames) < 12
    assert film.notes == ["not read to its end: the time that it may take is over"]


def test_a_film_that_gives_no_frame_in_time_is_an_error(plain: Path, monkeypatch: pytest.MonkeyPatch):
    ticks = iter(range(0, 10_000, 100))
    monkeypatch.setattr(time, "monotonic", lambda: next(ticks))
    reason = error_of(plain, max_time=10)
    assert reason == (
        "has no frame that can be decoded; not read to its end: the time that it may take is over"
    )


@pytest.fixture
def few_pixels() -> Iterator[None]:
    use_limits(replace(ImageLimits(), max_pixels=64 * 48))
    yield
    use_limits(ImageLimits())


def test_frames_with_too_many_pixels_are_not_decoded(tmp_path: Path, few_pixels: None):
    small = write_film(tmp_path / "small.mp4", frames_at([0, 0.1, 0.2]))
    assert len(read(small)[0]) == 1
    large = write_film(tmp_path / "large.mp4", frames_at([0, 0.1, 0.2], (96, 64)))
    assert error_of(large).startswith("has no frame that can be decoded")


def test_large_frames_are_read_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(video, "_LARGEST", 32 * 24)
    path = write_film(tmp_path / "large.mp4", frames_at([0, 0.1, 0.2]))
    (frame,), film = read(path)
    assert frame.pixels.shape == (24, 32, 3)
    assert film.notes == ["frames of 64x48 pixels are read at 32x24, as are boxes"]


def test_times_that_jump_back_are_counted_on():
    class Stream:
        average_rate = guessed_rate = base_rate = None

    class Decoded:
        def __init__(self, at: float | None) -> None:
            self.time = at

    clock = video.Clock(Stream())
    given = [clock.seconds(Decoded(at)) for at in (7.0, 7.5, 7.5, 2.0, None, 9.0)]
    assert given == pytest.approx([0.0, 0.5, 0.54, 0.58, 0.62, 2.0])
    assert clock.guessed == 3
    clock = video.Clock(Stream())
    assert [clock.seconds(Decoded(None)) for _ in range(3)] == pytest.approx([0.0, 0.04, 0.08])


def test_the_largest_stream_is_the_film(tmp_path: Path):
    """A camera's preview, or the cover of a piece of music, lies beside it."""
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as file:
        streams = []
        for size in ((32, 24), (64, 48)):
            stream = file.add_stream("libx264", rate=10)
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            streams.append((stream, size))
        for stream, size in streams:
            for _, pixels in frames_at([0, 0.1], size):
                file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            file.mux(stream.encode())
    assert read(path)[0][0].pixels.shape == (48, 64, 3)


class Recorder(http.server.BaseHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


def test_a_film_leads_to_no_address_and_no_other_file(tmp_path: Path, plain: Path):
    """Lists of films, as HLS, DASH and concat, in files called .mp4."""
    asked: list[str] = []
    handler = type("Handler", (Recorder,), {"asked": asked})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_address[1]}/secret"
        texts = [
            f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{address}.ts\n#EXT-X-ENDLIST\n",
            f"#EXTM3U\n#EXTINF:10,\nfile://{plain}\n#EXT-X-ENDLIST\n",
            f"ffconcat version 1.0\nfile {plain}\n",
            f"<?xml version='1.0'?><MPD><Period><BaseURL>{address}</BaseURL></Period></MPD>",
        ]
        for text in texts:
            (tmp_path / "list.mp4").write_text(text)
            assert "expected a film" in error_of(tmp_path / "list.mp4")
        assert asked == []
    finally:
        server.shutdown()
        server.server_close()


def test_noise_and_changed_bytes_end_in_an_error_or_frames(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """A few hundred films with changed bytes: an error of ours or frames, nothing else, and no hang."""
    path = write_film(tmp_path / "film.mkv", film_frames([], 1, SIZE, noise=8.0))
    originals = [path.read_bytes(), write_film(tmp_path / "film.mp4", film_frames([], 1, SIZE)).read_bytes()]
    rng = np.random.default_rng(5)
    outcomes = {"read": 0, "refused": 0}
    victim = tmp_path / "changed.bin"
    for round_ in range(150):
        data = bytearray(originals[round_ % 2])
        for place in rng.integers(0, len(data), rng.integers(1, 30)):
            data[place] = rng.integers(256)
        victim.write_bytes(data[: rng.integers(len(data) // 2, len(data) + 1)])
        try:
            read(victim, max_time=20)
            outcomes["read"] += 1
        except FilmError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 10
    assert capfd.readouterr() == ("", "")


def test_what_is_missing_is_named_with_the_command(plain: Path, monkeypatch: pytest.MonkeyPatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(video, "find_spec", lambda name: None if name == "av" else found(name))
    assert error_of(plain) == (
        "films are read by the package av, which is not installed: pip install 'embedder-enroll[video]'"
    )


def test_names_and_titles_of_no_known_writing_are_no_trouble(tmp_path: Path):
    path = write_film(tmp_path / "film.mkv", frames_at([0, 0.1]))
    named = tmp_path / "named.mkv"
    with av.open(str(named), "w") as target:
        target.metadata["title"] = "TITLEX"
        stream = target.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuvj420p"
        for _, pixels in frames_at([0, 0.1]):
            target.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
    named.write_bytes(named.read_bytes().replace(b"TITLEX", b"\xff\xfe\x00\xc3\x28\x80"))
    assert len(read(named)[0]) == 1
    strange = tmp_path / os.fsdecode(b"f\xffilm.mkv")
    strange.write_bytes(path.read_bytes())
    assert len(read(strange)[0]) == 1


def test_a_reader_reads_bytes_as_they_are_asked_for(plain: Path):
    with plain.open("rb") as file:
        source = video._Source(file, time.monotonic() + 100)
        assert source.read(8) == plain.read_bytes()[:8]
        assert source.seek(-4, io.SEEK_END) == source.tell() == plain.stat().st_size - 4
        assert source.seek(-1) < 0 and source.seek(2**80) < 0  # PyAV would print what is raised


def test_a_file_that_vanishes_while_it_is_read(plain: Path):
    """A network drive that goes away."""

    class Gone(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 1000:
                raise OSError(5, "Input/output error")
            return super().read(min(size or 0, 400))

    source = video._Source(Gone(plain.read_bytes()), time.monotonic() + 100)
    while source.read(400):
        pass
    assert source.problem == "the file cannot be read any more: Input/output error"
