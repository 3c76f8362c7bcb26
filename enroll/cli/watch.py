"""`embed watch-frigate`."""

from __future__ import annotations

import json
import os
import signal
from contextlib import closing
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from embedder.config import DetectorConfig
from embedder.errors import UsageError
from enroll.cli.options import (
    AS_FOUND,
    DEFAULT_GALLERY,
    GalleryFile,
    Margin,
    MinFace,
    Model,
    Threshold,
    load_extractor,
)
from enroll.cli.output import note
from enroll.cli.terminal import printable

if TYPE_CHECKING:
    from enroll.watch.events import EventAnswer

_PASSWORD, _TOKEN = "EMBED_MQTT_PASSWORD", "EMBED_FRIGATE_TOKEN"
_MQTT, _HOME = "MQTT broker", "Home Assistant"
_LONGEST_SECRET = 4096  # bytes


def watch_frigate(
    frigate: Annotated[
        str, typer.Argument(help="Frigate's address, such as http://127.0.0.1:5000.", show_default=False)
    ],
    model: Model = AS_FOUND,
    gallery: GalleryFile = DEFAULT_GALLERY,
    threshold: Threshold = None,
    margin: Margin = 0.0,
    agree: Annotated[
        int, typer.Option(min=1, max=100, help="Good snapshots of an event that must agree on a name.")
    ] = 2,
    tries: Annotated[int, typer.Option(min=1, max=1000, help="Snapshots fetched of an event at most.")] = 12,
    every: Annotated[
        float, typer.Option(min=0.05, max=3600, help="Seconds between snapshots of an event.")
    ] = 1.0,
    camera: Annotated[
        list[str] | None, typer.Option(help="A camera to listen to; may be repeated.", show_default="all")
    ] = None,
    unknown_label: Annotated[
        str, typer.Option(help="Sub label of people who are unknown when an event ends.", show_default="none")
    ] = "",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace sub labels that others have set.")
    ] = False,
    min_face: MinFace = DetectorConfig.min_face,
    token_file: Annotated[
        Path | None,
        typer.Option(help=f"File with a token of Frigate's sign-in; else {_TOKEN}.", show_default=False),
    ] = None,
    frigate_ca: Annotated[
        Path | None,
        typer.Option(help="PEM file that Frigate's certificate is checked by.", show_default=False),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object per answer, one per line.")
    ] = False,
    broker: Annotated[
        str, typer.Option(help="HOST, HOST:PORT, or mqtts://HOST:PORT.", rich_help_panel=_MQTT)
    ] = "127.0.0.1",
    user: Annotated[
        str | None, typer.Option(help="User of the broker.", show_default=False, rich_help_panel=_MQTT)
    ] = None,
    password_file: Annotated[
        Path | None,
        typer.Option(
            help=f"File with the password; else {_PASSWORD}.", show_default=False, rich_help_panel=_MQTT
        ),
    ] = None,
    tls: Annotated[
        bool, typer.Option("--tls", help="Encrypt the connection to the broker.", rich_help_panel=_MQTT)
    ] = False,
    ca: Annotated[
        Path | None,
        typer.Option(
            help="PEM file that its certificate is checked by.", show_default=False, rich_help_panel=_MQTT
        ),
    ] = None,
    cert: Annotated[
        Path | None,
        typer.Option(help="PEM file of a certificate of ours.", show_default=False, rich_help_panel=_MQTT),
    ] = None,
    cert_key: Annotated[
        Path | None, typer.Option(help="PEM file of its key.", show_default=False, rich_help_panel=_MQTT)
    ] = None,
    topic: Annotated[
        str, typer.Option(help="Topic of Frigate's events.", rich_help_panel=_MQTT)
    ] = "frigate/events",
    publish: Annotated[
        str, typer.Option(help="What topics of answers begin with.", rich_help_panel=_HOME)
    ] = "embed",
    discovery: Annotated[
        str,
        typer.Option(help="What topics of discovery begin with; empty: no discovery.", rich_help_panel=_HOME),
    ] = "homeassistant",
) -> None:
    """Name the people whom Frigate's cameras see, for Frigate and Home Assistant, until it is stopped."""
    from enroll.gallery.gallery import Gallery
    from enroll.watch.broker import Broker, BrokerConfig
    from enroll.watch.events import EventIdentifier, WatchConfig
    from enroll.watch.frigate import Frigate
    from enroll.watch.messages import Topics
    from enroll.watch.service import FrigateWatch

    for option, value in (("--topic", topic), ("--publish", publish), ("--discovery", discovery)):
        _check_topic(option, value, empty=option == "--discovery")
    server = Frigate(frigate, _secret("--token-file", token_file, _TOKEN), frigate_ca)
    password = _secret("--password-file", password_file, _PASSWORD)
    if password is not None and user is None:
        raise UsageError("--user: expected the user that the password is of, got none")
    settings = BrokerConfig.parse(broker, tls, user=user, password=password, ca=ca, cert=cert, key=cert_key)
    topics = Topics(publish, discovery)
    connection = Broker(settings, topic, topics.status)
    config = WatchConfig(agree, margin, tries, every, frozenset(camera or ()), unknown_label, overwrite)
    extractor = load_extractor(model, False, min_face)
    before = signal.signal(signal.SIGTERM, _stop)  # how services are stopped: as clean as Ctrl-C, no failure
    try:
        with Gallery.open(gallery, extractor, create=False) as opened:
            identifier = EventIdentifier(extractor, opened, server, threshold, config)
            _show(identifier.basis.describe())
            with closing(FrigateWatch(identifier, connection, topics).answers()) as answers:
                for answer in answers:
                    _show_answer(answer, as_json)
    finally:
        signal.signal(signal.SIGTERM, before)


def _show_answer(answer: EventAnswer, as_json: bool) -> None:
    from enroll.report.answers import describe
    from enroll.watch.service import answer_to_dict

    shown = answer_to_dict(answer)
    if as_json:
        print(json.dumps(shown, allow_nan=False), flush=True)
        return
    agreement = answer.agreement
    if agreement.frames:
        who = f"{describe(agreement.decision)}; {agreement.agreed} of {agreement.good} good snapshots agree"
    else:
        who = "unknown (no face found in its snapshots)"
    end = "; over" if answer.final else ""
    print(
        printable(f"{shown['moment'][11:19]} {answer.camera}: {who}; event {answer.event}{end}"), flush=True
    )


def _show(line: str) -> None:
    note(printable(line))


def _stop(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def _secret(option: str, file: Path | None, variable: str) -> str | None:
    """Read a secret from a file, else from the environment.

    An argument could be seen by all users.
    """
    from embedder._internal.files import read_file

    if file is None:
        return os.environ.get(variable) or None
    try:
        secret = read_file(file, _LONGEST_SECRET).decode().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{option}: {file}: expected a file with one line: {error}") from error
    if not secret or "\n" in secret:
        raise UsageError(f"{option}: {file}: expected a file with one line")
    return secret


def _check_topic(option: str, topic: str, empty: bool) -> None:
    if not topic and empty:
        return
    if not topic or len(topic) > 200 or any(sign in topic for sign in "+#\0") or topic.strip("/") != topic:
        raise UsageError(f"{option}: expected a topic without + and #, got {topic!r}")
