"""Read the frames of films with PyAV, some a second, upright; the only module that imports it.

A film may come from anyone. Only the containers of `film_kinds` are read, by the reader of that one kind,
from a file that Python opened: no list of other files, no address. Frames that are too large are refused
before they are decoded, broken packets are skipped and counted; film time, frames and computing time are
bounded.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from embedder._internal.files import open_file
from embedder._internal.wording import count
from embedder.config.faces import limits_in_force
from embedder.errors import FilmError
from enroll.config import FilmConfig
from enroll.library.containers import open_film
from enroll.library.film_kinds import HEAD, film_kind

if TYPE_CHECKING:
    from numpy.typing import NDArray

INSTALL = "pip install 'embedder-enroll[video]'"
_LARGEST = 3840 * 2160  # pixels; larger frames show no more faces, and several are in memory at once
_BROKEN_IN_A_ROW = 500  # packets after which the rest is given up
_STOPPED = "not read to its end"
OUT_OF_TIME = "the time that it may take is over"
LOST = "the file cannot be read any more"
_RATE = 25.0  # frames a second if the film does not state it


@dataclass(frozen=True, eq=False)
class Frame:
    """Holds a frame to be examined.

    Attributes:
        seconds: since the film began.
        pixels: (height, width, 3) uint8 RGB, upright.
    """

    seconds: float
    pixels: NDArray[np.uint8]


def check_installed(name: str) -> None:
    """Check that PyAV is installed.

    Args:
        name: what was to be read.

    Raises:
        FilmError: it is not installed.
    """
    if find_spec("av") is None:
        raise FilmError(name, f"films are read by the package av, which is not installed: {INSTALL}")


class Film:
    """Reads a film once, from its beginning.

    Attributes:
        seconds: film time that was read so far.
        decoded: frames that were decoded so far.
        skipped: packets that could not be decoded so far.
        stated: seconds that the film says it has; 0 until it is open, or if it does not say.
        expected: number of frames that will be examined by that duration.
        metadata: what the container says of the film, once it is open.
        lost: whether the file could not be read to its end, as on a disk that went away.
        notes: what a person should know of it; complete when the frames are at their end.

    Example:
        >>> film = Film("film.mp4")  # for frame in film.frames(): frame.seconds, frame.pixels
        >>> film.path.name
        'film.mp4'
    """

    def __init__(
        self, path: str | Path, config: FilmConfig | None = None, sampler: Sampler | None = None
    ) -> None:
        """Prepare; `frames` opens the film.

        Args:
            path: of the film.
            config: how many frames a second, and limits.
            sampler: chooses other frames.
        """
        self.path = Path(path)
        self._config = config or FilmConfig()
        self.seconds, self.decoded, self.skipped = 0.0, 0, 0
        self.stated, self.expected, self.lost = 0.0, 0, False
        self.metadata: dict[str, str] = {}
        self.notes: list[str] = []
        self._sampler = sampler or Sampler(self._config.fps)

    def frames(self) -> Generator[Frame]:
        """Yield the frames to be examined, in the order of time.

        Raises:
            FilmError: the file cannot be read, is no film, has no picture, or no frame can be decoded.
        """
        check_installed(str(self.path))
        import av

        deadline = time.monotonic() + self._config.max_time
        with _opened(self.path) as file:
            kind = film_kind(file.read(HEAD))
            if kind is None:
                raise FilmError(
                    self.path,
                    "expected a film (MP4, MOV, Matroska, WebM, AVI, MPEG, FLV, Ogg, WMV), got something "
                    "else, by its first bytes",
                )
            source = _Source(file, deadline)
            try:
                with open_film(source, kind) as container:
                    yield from self._decoded(container, deadline)
            except av.FFmpegError as error:
                if source.problem is None and not self.decoded:
                    raise FilmError(self.path, f"cannot be read as a film: {_said(error)}") from error
                if source.problem is None:
                    self._stopped(f"the rest cannot be read: {_said(error)}")
            if source.problem is None and time.monotonic() > deadline:
                source.problem = OUT_OF_TIME
            if source.problem is not None:
                self.lost = source.problem != OUT_OF_TIME
                self._stopped(source.problem)
        self._finish()

    def _decoded(self, container: Any, deadline: float) -> Iterator[Frame]:
        stream = self._picture_stream(container)
        stream.codec_context.thread_type = "SLICE"  # frames in threads were slower, and take more memory
        with suppress(ValueError):
            stream.codec_context.options = {"max_pixels": str(limits_in_force().max_pixels)}
        self.metadata = dict(container.metadata)
        self.stated = max(_stated(container, stream), 0.0)
        self.expected = round(min(self.stated, self._config.max_duration) * self._config.fps)
        clock = Clock(stream)
        in_a_row = 0
        for packet in self._packets(container, stream):
            frames, broken = _decode(packet)
            self.skipped += broken
            in_a_row = in_a_row + 1 if broken else 0
            if in_a_row > _BROKEN_IN_A_ROW:
                self._stopped(f"{_BROKEN_IN_A_ROW} packets in a row cannot be decoded")
                return
            for frame in frames:
                seconds = clock.seconds(frame)
                if seconds > self._config.max_duration:
                    self._stopped(f"only the first {self._config.max_duration:g} seconds are looked at")
                    return
                self.decoded += 1
                if self.decoded > self._config.max_frames:
                    self._stopped(f"only the first {self._config.max_frames:,} frames are looked at")
                    return
                self.seconds = seconds
                if self._sampler.wants(seconds) and (pixels := self._pixels(frame, stream)) is not None:
                    yield Frame(seconds, pixels)
            if time.monotonic() > deadline:
                return
        if clock.guessed:
            self.notes.append(f"{count(clock.guessed, 'frame', ',')} without a usable time, counted on")

    def _picture_stream(self, container: Any) -> Any:
        from av.stream import Disposition

        pictures = [
            stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic
        ]
        streams = [stream for stream in pictures if stream.codec_context is not None]
        if pictures and not streams:
            raise FilmError(self.path, "its pictures are of a kind that cannot be decoded")
        if not streams:
            sound = len(container.streams.audio)
            found = count(sound, "audio stream") if sound else "no stream of a known kind"
            raise FilmError(self.path, f"expected a film with pictures, got {found} and no video")
        return max(streams, key=lambda stream: (stream.width or 0) * (stream.height or 0))

    def _packets(self, container: Any, stream: Any) -> Iterator[Any]:
        """Yield the packets of a stream; where the file is broken, continue behind it."""
        import av

        failures = 0
        while True:
            try:
                for packet in container.demux(stream):
                    failures = 0
                    yield packet
                return
            except av.FFmpegError as error:
                failures += 1
                self.skipped += 1
                if failures > 3:
                    if self.decoded:
                        self._stopped(f"the rest cannot be read: {_said(error)}")
                        return
                    raise

    def _pixels(self, frame: Any, stream: Any) -> NDArray[np.uint8] | None:
        size = frame.width * frame.height
        if not size or size > limits_in_force().max_pixels:
            self.skipped += 1
            return None
        width, height = _shown_size(frame, stream)
        if (width, height) != (frame.width, frame.height) and size > _LARGEST:
            note = f"frames of {frame.width}x{frame.height} pixels are read at {width}x{height}, as are boxes"
            if note not in self.notes:
                self.notes.append(note)
        return upright(frame, width, height)

    def _stopped(self, reason: str) -> None:
        self.notes.append(f"{_STOPPED}: {reason}")

    def _finish(self) -> None:
        if not self.decoded:
            broken = f": {count(self.skipped, 'packet', ',')} cannot be decoded" if self.skipped else ""
            raise FilmError(self.path, f"has no frame that can be decoded{broken}{self._why()}")
        if self.skipped:
            self.notes.append(f"{count(self.skipped, 'packet', ',')} or frames cannot be decoded")
        stopped = any(note.startswith(_STOPPED) for note in self.notes)
        if not stopped and self.stated - self.seconds > max(2, 0.1 * self.stated):
            self.notes.append(
                f"its end is missing: {self.seconds:.1f} of {self.stated:.1f} seconds are there"
            )

    def _why(self) -> str:
        return f"; {self.notes[-1]}" if self.notes else ""


class Sampler:
    """Chooses frames by their times: the first in each part of a second, whatever the film's own rate."""

    def __init__(self, fps: float) -> None:
        """Choose `fps` frames a second."""
        self._fps = fps
        self._part = -1

    def wants(self, seconds: float) -> bool:
        """Return whether to examine a frame; frames come in the order of time."""
        part = int(seconds * self._fps + 1e-6)
        if part <= self._part:
            return False
        self._part = part
        return True


class Clock:
    """Computes the times of frames, from 0 and never backwards, also where a film's own are broken.

    Attributes:
        guessed: number of frames whose time was missing or ran backwards.
    """

    def __init__(self, stream: Any) -> None:
        """Use the rate of a stream for frames without a time."""
        rate = stream.average_rate or stream.guessed_rate or stream.base_rate
        usable = isinstance(rate, Fraction) and 0.1 <= rate <= 1000
        self._step = 1 / float(rate) if usable and rate else 1 / _RATE
        self._start: float | None = None
        self._last = -self._step
        self.guessed = 0

    def seconds(self, frame: Any) -> float:
        """Return the time of the next frame, in seconds since the first."""
        at = frame.time
        if at is not None and self._start is None:
            self._start = at - (self._last + self._step)
        if at is None or at - (self._start or 0.0) <= self._last:
            self.guessed += 1
            self._last += self._step
        else:
            self._last = at - (self._start or 0.0)
        return max(0.0, self._last)


def upright(frame: Any, width: int, height: int) -> NDArray[np.uint8]:
    """Turn a decoded frame upright.

    Args:
        frame: of PyAV; it knows by how much the camera was turned.
        width: pixels of it before it is turned.
        height: likewise.

    Returns:
        (height, width, 3) uint8 RGB, or (width, height, 3) if it lies on its side.
    """
    # One thread: those that FFmpeg keeps are missing in a forked process, which would wait for them.
    pixels = frame.reformat(width=width, height=height, format="rgb24", threads=1).to_ndarray()
    quarters = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, quarters)) if quarters else pixels


def _shown_size(frame: Any, stream: Any) -> tuple[int, int]:
    """Return width and height in pixels, with square pixels and reduced to the largest size we read."""
    width, height = float(frame.width), float(frame.height)
    ratio = stream.sample_aspect_ratio
    if ratio and 0.2 <= ratio <= 5 and ratio != 1:  # of DV and DVDs; others are mistakes
        width *= float(ratio)
    scale = min(1.0, (_LARGEST / (width * height)) ** 0.5)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _decode(packet: Any) -> tuple[list[Any], int]:
    """Return the frames of a packet, and 1 if it cannot be decoded."""
    import av

    try:
        return packet.decode(), 0
    except (av.FFmpegError, ValueError, MemoryError):
        return [], 1


def _opened(path: Path) -> BinaryIO:
    try:
        file = open_file(path)
    except OSError as error:
        raise FilmError(path, f"cannot be read: {error.strerror or error}") from error
    if not file.read(1):
        file.close()
        raise FilmError(path, "the file is empty")
    file.seek(0)
    return file


def _stated(container: Any, stream: Any) -> float:
    """Return the duration in seconds that a film states, of its pictures if possible: sound may be longer."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return float(container.duration or 0) / 1e6  # microseconds


def _said(error: Exception) -> str:
    """Return FFmpeg's message, without its number and without names of files."""
    return str(getattr(error, "strerror", None) or error)


class _Source:
    """A file for PyAV that returns no more bytes when the time limit is over.

    Nothing is raised from here: PyAV prints exceptions that are raised while another one is pending.

    Attributes:
        problem: why no more bytes are returned, or None.
    """

    def __init__(self, file: BinaryIO, deadline: float) -> None:
        self._file, self._deadline = file, deadline
        self.problem: str | None = None

    def read(self, size: int) -> bytes:
        """Return the next bytes."""
        if time.monotonic() > self._deadline:
            self.problem = OUT_OF_TIME
            return b""
        try:
            return self._file.read(size)
        except OSError as error:
            self.problem = f"{LOST}: {error.strerror or error}"
            return b""

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a position of the file; a negative result says that there is no such position."""
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError, OverflowError):
            return -errno.EINVAL

    def tell(self) -> int:
        """Return the position of the next byte."""
        return self._file.tell()
