"""Define the options of a server, with defaults and reasons."""

from __future__ import annotations

import ipaddress
import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from embedder.config import DetectorConfig
from embedder.config.fields import check_ranges
from embedder.errors import UsageError

ENVIRONMENT = "EMBED_SERVE"  # how the processes of `--workers` get their options
SHARED = "EMBED_SERVE_SHARED"  # and the folder that they share
_LOCAL_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost"})


@dataclass(frozen=True)
class ServeConfig:
    """Holds the options of a server.

    Attributes:
        gallery: a file, or milvus://HOST:PORT/NAME.
        model: a model folder; "" is the built-in network.
        host: address to listen on; if it can be reached from other machines, a key is required.
        port: to listen on.
        workers: number of processes.
        threads: number of threads of each process that process pictures; 0: one per core.
        certificate: file for HTTPS, in PEM form; "" for plain HTTP.
        private_key: file of its key, if that is another one.
        require_key: require a key on an address of this machine, too.
        keys: file with the hashes of the keys; None: beside the gallery.
        photos: folder where enrolled pictures are kept; None: beside the gallery.
        keep_photos: keep enrolled pictures; otherwise they cannot be shown or embedded by another model.
        folders: that a request may enroll, by their last part.
        hosts: names by which the server is reached, besides its own addresses.
        origins: other servers whose pages may call this one.
        dialects: of other programs that are served: compreface, deepstack.
        any_rotation: find faces that lie on their side or upside down, too.
        min_face: width in pixels of the smallest face to find.
        max_upload: largest request in bytes.
        max_pixels: largest picture; larger JPEGs are read at a reduced size, others refused.
        max_photos: largest number of pictures in a request.
        upload_seconds: time limit for receiving a request.
        answer_seconds: time limit for answering a request, after which it is refused.
        waiting: number of requests that may wait for a thread; more are refused with 503.
        per_minute: number of requests per key, or per address without a key.
    """

    gallery: str = "gallery.db"
    model: str = ""
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1  # threads share the model and the index; processes do not
    threads: int = 0
    certificate: str = ""
    private_key: str = ""
    require_key: bool = False
    keys: str | None = None
    photos: str | None = None
    keep_photos: bool = True
    folders: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    dialects: tuple[str, ...] = ("compreface", "deepstack")
    any_rotation: bool = False
    min_face: int = DetectorConfig.min_face
    max_upload: int = 32 * 2**20  # three photos of 200 megapixels do not pass, a phone's burst does
    max_pixels: int = 50_000_000  # as everywhere: 150 MB as RGB
    max_photos: int = 64
    upload_seconds: float = 30.0
    answer_seconds: float = 60.0
    waiting: int = 64
    per_minute: int = 1200  # twenty pictures a second: four live cameras

    def __post_init__(self) -> None:
        """Check that each value is in its range.

        Raises:
            UsageError: a value is out of its range.
        """
        check_ranges(
            self,
            port=(0, 65_535),
            workers=(1, 64),
            threads=(0, 256),
            min_face=(10, 10_000),
            max_upload=(1024, 2**31),
            max_pixels=(1, 2**31),
            max_photos=(1, 10_000),
            upload_seconds=(0.1, 86_400.0),
            answer_seconds=(0.1, 86_400.0),
            waiting=(1, 100_000),
            per_minute=(1, 10**9),
        )
        from enroll.store import gallery_files

        if not all(file.name for file in gallery_files(self.gallery)):
            raise UsageError(
                f"--gallery: expected a file, or milvus://HOST:PORT/NAME, got {self.gallery!r}, which names "
                "no file"
            )
        for origin in self.origins:
            if "*" in origin or "://" not in origin:
                raise UsageError(f"--origin: expected an origin such as https://photos.lan, got {origin!r}")
        if unknown := set(self.dialects) - set(ServeConfig.dialects):
            raise UsageError(
                f"dialects: expected some of {', '.join(ServeConfig.dialects)}, got {', '.join(unknown)}"
            )
        names = [folder.name for folder in map(Path, self.folders)]
        for place in self.folders:
            if not Path(place).is_dir():
                raise UsageError(f"--folder {place}: expected a folder of people")
            if names.count(Path(place).name) > 1:
                raise UsageError(
                    f"--folder {place}: expected each last part once, since requests name them so"
                )

    @property
    def needs_key(self) -> bool:
        """Whether requests without a key are refused."""
        return self.require_key or not is_loopback(self.host)

    def to_json(self) -> str:
        """Convert to one line of JSON, for another process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ServeConfig:
        """Parse what `to_json` wrote."""
        given = json.loads(text)
        tuples = {entry.name for entry in fields(cls) if isinstance(entry.default, tuple)}
        values: dict[str, Any] = {
            name: tuple(value) if name in tuples else value for name, value in given.items()
        }
        return cls(**values)


def is_loopback(host: str) -> bool:
    """Return whether an address can be reached from this machine alone."""
    if host.lower() in _LOCAL_NAMES:
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def beside_gallery(config: ServeConfig, ending: str) -> Path:
    """Return a path beside a gallery's file, with its name and another suffix.

    For a gallery on a server, it is in the working folder.

    Args:
        config: with the gallery.
        ending: the suffix.
    """
    from enroll.store import gallery_files

    files = gallery_files(config.gallery)
    base = files[0] if files else Path("gallery.db")
    return base.with_name(f"{base.name}{ending}")


def key_file(config: ServeConfig) -> Path:
    """Return the path of the keys of a server."""
    return Path(config.keys) if config.keys else beside_gallery(config, ".keys.json")


def shared_folder() -> Path | None:
    """Return the folder that the processes of one server share, None if there is one process."""
    return Path(os.environ[SHARED]) if os.environ.get(SHARED) else None
