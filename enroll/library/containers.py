"""Open films and streams with PyAV, whose options differ from version to version."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Protocol

from embedder.config.faces import limits_in_force

_PROBE = 5_000_000  # bytes that are searched for streams
_STREAMS = 64  # streams of a film at most
# Protocols that a stream may refer to: no file of this machine.
_PROTOCOLS = "rtsp,rtsps,rtmp,rtmps,http,https,httpproxy,crypto,tls,udp,rtp,srt,tcp,data"


class Source(Protocol):
    """A file as PyAV reads it."""

    def read(self, size: int) -> bytes:
        """Read so many bytes, fewer at the end."""

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place."""


def open_film(source: Source, kind: str) -> Any:
    """Open a film of a known kind, such as `matroska`."""
    import av

    options = {
        "protocol_whitelist": "none",  # a container that refers to other files opens none
        "probesize": str(_PROBE),
        "max_streams": str(_STREAMS),
    }
    most = {"max_pixels": str(limits_in_force().max_pixels)}
    for stream_options in ([most] * _STREAMS, None):
        source.seek(0)
        if not (given := _metadata_option()):  # from version 19 on, streams have no options apart
            return av.open(source, format=kind, options=options | most)
        with suppress(ValueError):  # of kinds whose streams are known only after probing
            return av.open(source, format=kind, options=options, stream_options=stream_options, **given)
    raise av.InvalidDataError(0, "no streams")


def open_stream(address: str, kind: str | None, seconds: float) -> Any:
    """Open an address, or a camera of this machine, whose kind is given; `seconds` is the time limit."""
    import av

    options = {} if kind else {"protocol_whitelist": _PROTOCOLS, "rtsp_transport": "tcp"}
    return av.open(address, format=kind, options=options, timeout=seconds, **_metadata_option())


def _metadata_option() -> dict[str, Any]:
    """Return what lets PyAV read metadata that is no UTF-8: from version 19 on nothing, it does by itself."""
    import av

    return {} if int(av.__version__.partition(".")[0]) >= 19 else {"metadata_errors": "replace"}
