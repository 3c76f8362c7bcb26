"""Run `embed serve`, and manage its keys."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from embedder.config import BUILT_IN, DetectorConfig
from embedder.errors import MissingPackageError, UsageError
from enroll.cli.options import (
    AS_FOUND,
    DEFAULT_GALLERY,
    DEFAULT_MAX_PIXELS,
    AnyRotation,
    GalleryFile,
    MaxPixels,
    MinFace,
    Model,
)
from enroll.cli.output import answer, note, tell
from enroll.cli.terminal import printable

if TYPE_CHECKING:
    from enroll.serve.keys import KeyFile

INSTALL = "pip install 'embedder-enroll[serve]'"

Keys = Annotated[
    Path | None, typer.Option("--keys", help="File of the keys.", show_default="beside the gallery")
]


def serve(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="Address; one of other machines needs keys.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 8000,
    workers: Annotated[int, typer.Option(help="Processes.")] = 1,
    threads: Annotated[int, typer.Option(help="Threads of each; 0: one a core.")] = 0,
    certificate: Annotated[
        Path | None, typer.Option(help="PEM file, to speak HTTPS.", show_default=False)
    ] = None,
    private_key: Annotated[
        Path | None, typer.Option(help="PEM file of its key, if it is another.", show_default=False)
    ] = None,
    model: Model = AS_FOUND,
    gallery: GalleryFile = DEFAULT_GALLERY,
    keys: Keys = None,
    require_key: Annotated[
        bool, typer.Option("--require-key", help="Ask for a key on this machine, too.")
    ] = False,
    photos: Annotated[
        Path | None,
        typer.Option(help="Folder where enrolled pictures are kept.", show_default="beside the gallery"),
    ] = None,
    keep_photos: Annotated[
        bool, typer.Option("--keep-photos/--forget-photos", help="Keep the pictures that are enrolled.")
    ] = True,
    folder: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of people that a request may enroll; may be repeated.", show_default=False),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Name by which the server is reached; may be repeated.", show_default=False),
    ] = None,
    origin: Annotated[
        list[str] | None,
        typer.Option(help="Origin of a page that may call the server; may be repeated.", show_default=False),
    ] = None,
    dialects: Annotated[
        str, typer.Option(help="Programs that are spoken to as they know it: compreface, deepstack, none.")
    ] = "compreface,deepstack",
    max_upload: Annotated[int, typer.Option(help="Most bytes of a request.")] = 32 * 2**20,
    per_minute: Annotated[int, typer.Option(help="Most requests of a key, or of an address.")] = 1200,
    any_rotation: AnyRotation = False,
    min_face: MinFace = DetectorConfig.min_face,
    max_pixels: MaxPixels = DEFAULT_MAX_PIXELS,
) -> None:
    """Serve a web page, a REST API, and the dialects of CompreFace and DeepStack."""
    if context.invoked_subcommand is not None:
        return

    needs_packages()
    from enroll.serve.config import ServeConfig, key_file
    from enroll.serve.keys import KeyFile

    spoken = tuple(name for name in dialects.replace(" ", "").split(",") if name not in ("", "none"))
    config = ServeConfig(
        gallery=gallery,
        model="" if model == BUILT_IN else model,
        host=host,
        port=port,
        workers=workers,
        certificate=str(certificate or ""),
        private_key=str(private_key or ""),
        threads=threads,
        require_key=require_key,
        keys=str(keys) if keys else None,
        photos=str(photos) if photos else None,
        keep_photos=keep_photos,
        folders=tuple(map(str, folder or ())),
        hosts=tuple(allow_host or ()),
        origins=tuple(origin or ()),
        dialects=spoken,
        any_rotation=any_rotation,
        min_face=min_face,
        max_upload=max_upload,
        max_pixels=max_pixels,
        per_minute=per_minute,
    )
    if config.needs_key and not KeyFile(key_file(config)).listed():
        raise UsageError(
            f"--host {host}: other machines may reach it, so a key is needed and there is none; make one: "
            "`embed serve keys new --scope administer`"
        )

    def say(address: str) -> None:
        tell(f"The page is at {address} ; Ctrl-C ends it.", "serving", address=address)

    from enroll.serve.server import serve as run  # takes a while to load: options are checked before

    run(config, say)


def new_key(
    scope: Annotated[
        str, typer.Option(help="identify; enroll: and that; administer: and all.", show_default=False)
    ],
    label: Annotated[str, typer.Option(help="Whose it is.")] = "",
    gallery: GalleryFile = DEFAULT_GALLERY,
    keys: Keys = None,
) -> None:
    """Make a key and show it, once."""
    key = _file(gallery, keys).new(scope, label)
    note("This key is shown once; only its hash is stored:")
    answer({"key": key}, key)


def list_keys(gallery: GalleryFile = DEFAULT_GALLERY, keys: Keys = None) -> None:
    """List the keys: the first 8 digits, scope, day, label."""
    found = _file(gallery, keys).listed()
    facts = [{name: str(getattr(key, name)) for name in ("name", "scope", "made", "label")} for key in found]
    lines = [f"{key.name}  {key.scope:<10}  {key.made}  {printable(key.label)}".rstrip() for key in found]
    answer({"keys": facts}, *lines)


def revoke_key(
    name: Annotated[str, typer.Argument(help="The first 8 digits of the key.", show_default=False)],
    gallery: GalleryFile = DEFAULT_GALLERY,
    keys: Keys = None,
) -> None:
    """Revoke a key; a server that runs refuses it from the next request on."""
    gone = _file(gallery, keys).revoke(name)
    tell(f"revoked {gone.name}", "revoked", key=gone.name)


def _file(gallery: str, keys: Path | None) -> KeyFile:
    needs_packages()
    from enroll.serve.config import ServeConfig, key_file
    from enroll.serve.keys import KeyFile

    return KeyFile(key_file(ServeConfig(gallery=gallery, keys=str(keys) if keys else None)))


def needs_packages() -> None:
    """Check that the packages of a server are installed.

    Raises:
        MissingPackageError: one is not installed.
    """
    from importlib.util import find_spec

    missing = [
        name
        for name in ("fastapi", "uvicorn", "python_multipart", "argon2", "prometheus_client")
        if find_spec(name) is None
    ]
    if missing:
        raise MissingPackageError(f"embed serve needs {', '.join(missing)}: {INSTALL}")
