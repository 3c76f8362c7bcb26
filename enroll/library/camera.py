"""Read a camera or stream: always the newest frame, and again after the stream was lost.

A thread of its own decodes all that is received, so that nothing piles up; of the frames that are to be
examined, it keeps the last one. A caller slower than the camera gets fewer frames, not older ones.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from embedder.config.faces import limits_in_force
from embedder.errors import FilmError, UsageError
from enroll.config import FilmConfig
from enroll.library.containers import open_stream
from enroll.library.video import Frame, Sampler, check_installed, upright

_SCHEME = re.compile(r"([a-z][a-z0-9+]*)://", re.I)
SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "udp", "rtp", "srt", "tcp")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Patience:
    """Holds the time limits of a camera.

    Attributes:
        seconds: time limit for a connection, and for the next frame.
        first_wait: seconds before it is tried again; twice as long each time after that.
        longest_wait: largest number of seconds between two tries.
        tries: number of failed tries in a row after which it is given up.
    """

    seconds: float = 10.0
    first_wait: float = 1.0
    longest_wait: float = 30.0
    tries: int = 20


class Camera:
    """Reads a camera or stream until it is closed.

    Attributes:
        name: the address without user and password.

    Example:
        >>> camera = Camera("rtsp://keeper:password@door.local/1")  # camera.frames() connects
        >>> camera.name
        'rtsp://door.local/1'
    """

    def __init__(
        self, address: str, config: FilmConfig | None = None, patience: Patience | None = None
    ) -> None:
        """Check the address; `frames` connects to it.

        Args:
            address: a number, for a camera of this machine, or rtsp://, http:// and others of `SCHEMES`.
            config: how many frames a second are examined.
            patience: time limits.

        Raises:
            UsageError: the address is none of these.
        """
        self._source, self._format = _source_of(address)
        self.name = without_user(address)
        self._config, self._patience = config or FilmConfig(), patience or Patience()
        self._changed = threading.Condition()
        self._newest: Frame | None = None
        self._failed: Exception | None = None
        self._closed = False
        self._begun = 0.0

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop reading; a connection that hangs ends by its time limit."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def frames(self, seconds: float | None = None) -> Iterator[Frame]:
        """Yield the newest frame, whenever there is a newer one; times count from now.

        Args:
            seconds: how long to read; None: until the camera is closed.

        Raises:
            FilmError: it cannot be reached, or not any more.
        """
        check_installed(self.name)
        self._begun = time.monotonic()
        threading.Thread(target=self._read, daemon=True, name="camera").start()
        end = None if seconds is None else self._begun + seconds
        while (frame := self._next(end)) is not None:
            yield frame

    def _next(self, end: float | None) -> Frame | None:
        with self._changed:
            while True:
                left = None if end is None else end - time.monotonic()
                if self._closed or (left is not None and left <= 0):
                    return None  # also if frames are received faster than they are examined
                if self._newest is not None:
                    break
                if self._failed is not None:
                    raise self._failed
                # Waits are short, since Ctrl-C does not interrupt one on every system.
                self._changed.wait(1.0 if left is None else min(left, 1.0))
            frame, self._newest = self._newest, None
            return frame

    def _read(self) -> None:
        """Read until it is closed; whatever else ends this thread ends `frames`, too."""
        try:
            self._keep_reading()
        except Exception as error:
            with self._changed:
                self._failed = error
                self._changed.notify_all()

    def _keep_reading(self) -> None:
        """Read, and connect again after a loss, until it is closed or given up."""
        import av

        failures, ever = 0, False
        while not self._is_closed():
            try:
                got = self._read_once()
                reason = "the stream ended"
            except (av.FFmpegError, OSError) as error:
                got, reason = self._got_any, str(getattr(error, "strerror", None) or error)
            ever, failures = ever or got, 0 if got else failures + 1
            if self._is_closed():
                return
            if not ever or failures >= self._patience.tries:
                raise FilmError(self.name, f"the camera cannot be read: {reason}")
            wait = min(self._patience.first_wait * 2.0**failures, self._patience.longest_wait)
            _log.warning("%s: %s; trying again in %g s", self.name, reason, wait)
            with self._changed:
                self._changed.wait_for(lambda: self._closed, wait)

    def _read_once(self) -> bool:
        """Read until the stream ends, and return whether a frame was received."""
        self._got_any = False
        sampler = Sampler(self._config.fps)
        most = limits_in_force().max_pixels
        with open_stream(self._source, self._format, self._patience.seconds) as container:
            if not container.streams.video:
                raise FilmError(self.name, "expected a stream with pictures, got none")
            stream = container.streams.video[0]
            stream.codec_context.options = {"max_pixels": str(most)}
            for packet in container.demux(stream):
                if self._closed:
                    break
                for frame in _frames_of(packet):
                    now = time.monotonic() - self._begun
                    self._got_any = True
                    if frame.width * frame.height > most:
                        raise FilmError(
                            self.name,
                            f"frames of {frame.width}x{frame.height} pixels are more than --max-pixels",
                        )
                    if sampler.wants(now):
                        self._put(Frame(now, upright(frame, frame.width, frame.height)))
        return self._got_any

    def _is_closed(self) -> bool:
        with self._changed:
            return self._closed

    def _put(self, frame: Frame) -> None:
        with self._changed:
            self._newest = frame
            self._changed.notify_all()


def without_user(address: str) -> str:
    """Return an address without user, password and query, so that it can be shown."""
    scheme, mark, rest = address.partition("://")
    if not mark:
        return address
    place = re.split("[?#]", rest)[0]
    return f"{scheme}{mark}{place.rpartition('@')[2]}"


def _source_of(address: str) -> tuple[str, str | None]:
    """Return what PyAV opens, and the format if it is a camera of this machine."""
    if address.isdecimal():
        if sys.platform == "darwin":
            return address, "avfoundation"
        if sys.platform == "win32":
            raise UsageError("--camera: on Windows expected dshow:NAME of the camera, got a number")
        return f"/dev/video{int(address)}", "v4l2"
    if re.fullmatch(r"/dev/video\d+", address):
        return address, "v4l2"
    if address.startswith("dshow:"):
        return f"video={address.removeprefix('dshow:')}", "dshow"
    found = _SCHEME.match(address)
    if found is None or found.group(1).lower() not in SCHEMES:
        raise UsageError(
            f"--camera: expected a number, as 0, or an address that begins with one of "
            f"{', '.join(f'{scheme}://' for scheme in SCHEMES)}, got {without_user(address)!r}"
        )
    return address, None


def _frames_of(packet: Any) -> list[Any]:
    import av

    try:
        frames: list[Any] = packet.decode()
    except (av.InvalidDataError, av.ArgumentError, ValueError):  # lost packets of a network
        return []
    return frames
