"""Frigate's events by a real broker, mosquitto, answered and published for Home Assistant."""

from __future__ import annotations

import json
import logging
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from embedder.errors import MissingPackageError, UsageError
from enroll import Gallery
from enroll.watch import broker as broker_module
from enroll.watch.events import EventAnswer, EventIdentifier, WatchConfig
from enroll.watch.frigate import Frigate
from enroll.watch.messages import Topics
from enroll.watch.service import FrigateWatch
from tests.conftest import ToyExtractor
from tests.enroll.watch.conftest import ADA, STRANGER
from tests.enroll.watch.stands import MOSQUITTO, FrigateStand, Listener, event, mosquitto, wait_for
from tests.ports import free_port

pytest.importorskip("paho.mqtt")
from enroll.watch.broker import Broker, BrokerConfig, BrokerError

needs_mosquitto = pytest.mark.skipif(MOSQUITTO is None, reason="the program mosquitto is not installed")
NEAR = 0.4


@pytest.fixture
def port() -> int:
    return free_port()


WATCHING = "the watch of a test"


@pytest.fixture
def watching(toy: ToyExtractor, gallery_file: Path, frigate: FrigateStand):
    """Run a watch in a thread, until a block ends; gives its answers."""

    @contextmanager
    def watch(broker: Broker, topics: Topics) -> Iterator[list[EventAnswer]]:
        answers: list[EventAnswer] = []
        failed: list[BaseException] = []
        over = threading.Event()
        real_next = broker.next

        def next_or_stop(seconds: float | None) -> bytes | None:
            if over.is_set():
                raise KeyboardInterrupt
            return real_next(0.05 if seconds is None else min(seconds, 0.05))

        def run() -> None:
            broker.next = next_or_stop  # type: ignore[method-assign]
            try:
                with Gallery.open(gallery_file, toy, create=False) as gallery:
                    config = WatchConfig(every=0.05)
                    identifier = EventIdentifier(toy, gallery, Frigate(frigate.address), NEAR, config)
                    answers.extend(FrigateWatch(identifier, broker, topics).answers())
            except KeyboardInterrupt:
                pass
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=run, name=WATCHING)
        thread.start()
        try:
            yield answers
        finally:
            over.set()
            thread.join(20)
            assert not thread.is_alive()
            if failed:
                raise failed[0]

    return watch


@needs_mosquitto
def test_from_an_event_to_home_assistant(
    tmp_path: Path, port: int, watching, frigate: FrigateStand, snapshots
):
    topics = Topics()
    frigate.pictures["1-a"], frigate.pictures["2-s"] = snapshots(ADA, 3), snapshots(STRANGER, 3)
    with mosquitto(tmp_path / "broker", port), Listener(port) as listener:
        broker = Broker(BrokerConfig("127.0.0.1", port), "frigate/events", topics.status)
        with watching(broker, topics):
            wait_for(lambda: listener.last("embed/status") == "online")
            listener.publish("frigate/events", b"no event")
            listener.publish("frigate/events", event("new", "1-a"))
            wait_for(lambda: listener.last("embed/people/ada"), what="the answer")
            listener.publish("frigate/events", event("new", "2-s", camera="garden"))
            listener.publish("frigate/events", event("end", "2-s", camera="garden"))
            wait_for(lambda: listener.last("embed/cameras/garden"))
        wait_for(lambda: listener.last("embed/status") == "offline")
        ada = json.loads(listener.last("embed/cameras/door") or "")
        assert (ada["name"], ada["identity"], ada["agreed"], ada["good"]) == ("ada", "ada", 2, 2)
        assert 50 < ada["confidence"] <= 100 and ada["event"] == "1-a" and ada["camera"] == "door"
        stranger = json.loads(listener.last("embed/cameras/garden") or "")
        assert (stranger["name"], stranger["identity"], stranger["final"]) == ("unknown", None, True)
        assert len([1 for topic, _, _ in listener.heard if topic == "embed/events"]) == 2
        assert [label["subLabel"] for label in frigate.labels["1-a"]] == ["ada"]
        configs = {topic: json.loads(text) for topic, text, _ in listener.heard if topic.endswith("/config")}
        assert set(configs) == {
            "homeassistant/sensor/embed/camera_door/config",
            "homeassistant/sensor/embed/camera_garden/config",
            "homeassistant/sensor/embed/person_ada/config",
        }
        assert {config["state_topic"] for config in configs.values()} == {
            "embed/cameras/door",
            "embed/cameras/garden",
            "embed/people/ada",
        }
        with Listener(port) as later:  # who comes later gets what the broker keeps
            wait_for(lambda: later.last("embed/people/ada"))
            kept = {topic for topic, _, retained in later.heard if retained}
        assert kept == {*configs, *(config["state_topic"] for config in configs.values()), "embed/status"}


@needs_mosquitto
def test_no_discovery_if_none_is_wanted(
    tmp_path: Path, port: int, watching, frigate: FrigateStand, snapshots
):
    topics = Topics("home/faces", "")
    frigate.pictures["1-a"] = snapshots(ADA, 3)
    with mosquitto(tmp_path / "broker", port), Listener(port) as listener:
        broker = Broker(BrokerConfig("127.0.0.1", port), "frigate/events", topics.status)
        with watching(broker, topics):
            wait_for(lambda: listener.last("home/faces/status") == "online")
            listener.publish("frigate/events", event("new", "1-a"))
            wait_for(lambda: listener.last("home/faces/people/ada"))
        assert not [topic for topic, _, _ in listener.heard if "homeassistant" in topic]


@needs_mosquitto
def test_a_broker_that_comes_late_or_goes_away_is_found_again(
    tmp_path: Path, port: int, watching, frigate: FrigateStand, snapshots, caplog, monkeypatch
):
    monkeypatch.setattr(broker_module, "_LONGEST_WAIT", 1)
    topics = Topics()
    frigate.pictures["1-a"], frigate.pictures["1-b"] = snapshots(ADA, 3), snapshots(ADA, 3)
    broker = Broker(BrokerConfig("127.0.0.1", port), "frigate/events", topics.status)
    with (
        caplog.at_level(logging.WARNING, "enroll.watch.broker"),
        watching(broker, topics) as answers,
    ):
        wait_for(lambda: "no connection: Connection refused; trying again" in caplog.text)
        for number, name in ((1, "1-a"), (2, "1-b")):
            with mosquitto(tmp_path / "broker", port), Listener(port) as listener:
                wait_for(lambda here=listener: here.last("embed/status") == "online", what="a connection")
                listener.publish("frigate/events", event("new", name))
                wait_for(lambda count=number: len(answers) >= count, what="an answer")
        wait_for(lambda: "the connection is lost" in caplog.text)
    assert [answer.event for answer in answers] == ["1-a", "1-b"]


@needs_mosquitto
def test_a_password_is_needed_and_never_shown(tmp_path: Path, port: int, watching, caplog):
    passwords = tmp_path / "passwords"
    tool = Path(MOSQUITTO or "").parent / "mosquitto_passwd"
    tools = [tool, Path("/usr/bin/mosquitto_passwd")]
    found = next((path for path in tools if path.exists()), None)
    if found is None:
        pytest.skip("the program mosquitto_passwd is not installed")
    subprocess.run([found, "-b", "-c", passwords, "keeper", "s3cret"], check=True, capture_output=True)
    passwords.chmod(0o644)
    topics = Topics()
    with mosquitto(tmp_path / "broker", port, "allow_anonymous false", f"password_file {passwords}"):
        for password in ("wr0ng", None):
            config = BrokerConfig("127.0.0.1", port, user="keeper", password=password)
            assert "wr0ng" not in repr(config)
            broker = Broker(config, "frigate/events", topics.status)
            with (
                pytest.raises(BrokerError, match="refuses us") as caught,
                watching(broker, topics),
            ):
                wait_for(lambda: all(thread.name != WATCHING for thread in threading.enumerate()))
            assert "wr0ng" not in str(caught.value) + caplog.text
            assert "--password-file" in str(caught.value)
        config = BrokerConfig("127.0.0.1", port, user="keeper", password="s3cret")
        broker = Broker(config, "frigate/events", topics.status)
        with watching(broker, topics):
            wait_for(lambda: broker._connected)


def certificates(folder: Path) -> tuple[Path, Path, Path]:
    """Make an authority, and a certificate for 127.0.0.1 with its key."""
    from datetime import UTC, datetime, timedelta
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    now = datetime.now(UTC)

    def make(name: str, issuer, signer, extension):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        built = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer or subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=2))
            .add_extension(extension, critical=False)
        )
        return subject, key, built.sign(signer or key, hashes.SHA256())

    subject, ca_key, ca = make("test", None, None, x509.BasicConstraints(ca=True, path_length=None))
    place = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    _, key, own = make("broker", subject, ca_key, place)
    files = folder / "ca.pem", folder / "cert.pem", folder / "key.pem"
    pem = serialization.Encoding.PEM
    for file, content in zip(
        files,
        (
            ca.public_bytes(pem),
            own.public_bytes(pem),
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        ),
        strict=True,
    ):
        file.write_bytes(content)
    return files


@needs_mosquitto
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho leaves a socket open
@pytest.mark.parametrize("strict", [False, True])  # the default of Python 3.13
def test_an_encrypted_connection_checks_the_certificate(
    strict: bool, tmp_path: Path, port: int, watching, caplog, monkeypatch: pytest.MonkeyPatch
):
    make_context = ssl.create_default_context

    def strict_context(**given) -> ssl.SSLContext:
        context = make_context(**given)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    if strict:
        monkeypatch.setattr(ssl, "create_default_context", strict_context)
    ca, cert, key = certificates(tmp_path)
    topics = Topics()
    with mosquitto(tmp_path / "broker", port, f"cafile {ca}", f"certfile {cert}", f"keyfile {key}"):
        trusting = Broker(BrokerConfig("127.0.0.1", port, tls=True, ca=ca), "frigate/events", topics.status)
        with watching(trusting, topics):
            wait_for(lambda: trusting._connected)
        doubting = Broker(BrokerConfig("127.0.0.1", port, tls=True), "frigate/events", topics.status)
        with watching(doubting, topics):
            wait_for(lambda: "its certificate is not trusted (" in caplog.text)
            assert not doubting._connected


def test_certificates_that_are_none_are_refused(tmp_path: Path):
    (tmp_path / "ca.pem").write_text("no certificate")
    for config in (
        BrokerConfig("h", tls=True, ca=tmp_path / "ca.pem"),
        BrokerConfig("h", tls=True, cert=tmp_path / "missing.pem"),
    ):
        with pytest.raises(UsageError, match="expected certificates and keys in PEM"):
            Broker(config, "t", "s")
    assert isinstance(broker_module._tls(BrokerConfig("h")), ssl.SSLContext)


@pytest.mark.parametrize(
    ("address", "tls", "host", "port", "encrypted"),
    [
        ("10.0.0.2", False, "10.0.0.2", 1883, False),
        ("broker:1884", False, "broker", 1884, False),
        ("mqtt://broker", False, "broker", 1883, False),
        ("mqtts://broker", False, "broker", 8883, True),
        ("broker", True, "broker", 8883, True),
        ("mqtts://[::1]:8884", False, "::1", 8884, True),
    ],
)
def test_addresses_of_brokers(address: str, tls: bool, host: str, port: int, encrypted: bool):
    config = BrokerConfig.parse(address, tls)
    assert (config.host, config.port, config.tls) == (host, port, encrypted)


@pytest.mark.parametrize(
    "address",
    ["", ":1883", "http://h", "h:x", "h:99999", "mqtt://h/topic", "u:s3cret@h", "mqtt://u:s3cret@h"],
)
def test_what_is_no_address_of_a_broker(address: str):
    with pytest.raises(UsageError, match="--broker: ") as caught:
        BrokerConfig.parse(address)
    assert "s3cret" not in str(caught.value)


def test_a_flood_costs_old_messages_and_no_memory(caplog: pytest.LogCaptureFixture, monkeypatch):
    monkeypatch.setattr(broker_module, "_WAITING", 5)
    broker = Broker(BrokerConfig("h"), "frigate/events", "embed/status")

    class Message:
        def __init__(self, number: int) -> None:
            self.payload = str(number).encode()

    for number in range(12):
        broker._on_message(None, None, Message(number))
    assert broker.dropped == 7 and caplog.text.count("the oldest are dropped") == 1
    assert [broker.next(0) for _ in range(6)] == [b"7", b"8", b"9", b"10", b"11", None]


def test_what_is_missing_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(broker_module, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r"pip install 'embedder-enroll\[mqtt\]'"):
        Broker(BrokerConfig("h"), "t", "s")


def test_stopping_without_a_connection_is_quick():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    broker = Broker(BrokerConfig("127.0.0.1", port), "t", "s")
    broker.start()
    assert broker.next(0.05) is None
    begun = time.monotonic()
    broker.stop()
    assert time.monotonic() - begun < 10
