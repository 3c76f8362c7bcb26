"""Connect to an MQTT broker with paho-mqtt, receive a topic, publish answers.

paho's own thread reads, and reconnects after a loss; received messages are put into a queue of bounded
length, so that a flood drops old messages and does not fill the memory.
"""

from __future__ import annotations

import logging
import queue
import socket
import ssl
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from embedder.errors import EmbedError, MissingPackageError, UsageError
from enroll.watch.trust import tls_context

INSTALL = "pip install 'embedder-enroll[mqtt]'"
_WAITING = 1000  # messages at most; the oldest are dropped for new ones
_PORT, _TLS_PORT = 1883, 8883
_FIRST_WAIT, _LONGEST_WAIT = 1, 60  # seconds before it is tried again, twice as long each time
_PROBE = 5.0  # seconds for finding out why there is no connection
_KEEP_ALIVE = 30  # seconds
_LAST_WORDS = 2.0  # seconds to send the last messages
_REFUSED = frozenset({4, 5, 134, 135, 140})  # bad user or password, not authorized: waiting does not help
_log = logging.getLogger(__name__)


class BrokerError(EmbedError):
    """Raised when a broker refuses user, password or topic."""

    exit_code = 2


@dataclass(frozen=True)
class BrokerConfig:
    """Holds the address of a broker and how to sign in.

    Attributes:
        host: name or address.
        port: of it.
        tls: whether the connection is encrypted.
        user: to sign in with, or None.
        password: of the user; never shown.
        ca: PEM file of the authority that signed its certificate; None uses the system's.
        cert: PEM file of our own certificate, if the broker wants one.
        key: PEM file of its key; None: it is in `cert`.
    """

    host: str
    port: int = _PORT
    tls: bool = False
    user: str | None = None
    password: str | None = None
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    def __repr__(self) -> str:
        """Return host and port alone."""
        return f"BrokerConfig({self.host}:{self.port})"

    @classmethod
    def parse(cls, address: str, tls: bool = False, **rest: Any) -> BrokerConfig:
        """Parse an address: HOST, HOST:PORT, mqtt://HOST:PORT or mqtts://HOST:PORT.

        Args:
            address: of the broker.
            tls: encrypt, whatever the address says.
            **rest: the other fields.

        Raises:
            UsageError: it is none, or a password is in it.
        """
        text = address if "://" in address else f"mqtt://{address}"
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
            parts = urlsplit("")
        if parts.username or parts.password or "@" in address:
            raise UsageError(
                "--broker: expected no user and password in it; --user and --password-file are for that"
            )
        if not host or parts.scheme not in ("mqtt", "mqtts") or parts.path.strip("/") or parts.query:
            raise UsageError("--broker: expected HOST, HOST:PORT, mqtt://HOST:PORT or mqtts://HOST:PORT")
        encrypted = tls or parts.scheme == "mqtts"
        return cls(host, port or (_TLS_PORT if encrypted else _PORT), encrypted, **rest)


class Broker:
    """Holds a connection to a broker, and reconnects it."""

    def __init__(self, config: BrokerConfig, topic: str, status: str) -> None:
        """Prepare a connection; `start` opens it.

        Args:
            config: address and sign-in.
            topic: to subscribe to.
            status: topic that holds `online` while we are connected, else `offline`.

        Raises:
            MissingPackageError: paho-mqtt is not installed.
            UsageError: a certificate cannot be used.
        """
        if find_spec("paho") is None:
            raise MissingPackageError(
                f"the broker is spoken to by paho-mqtt, which is not installed: {INSTALL}"
            )
        from paho.mqtt.client import CallbackAPIVersion, Client

        self._config, self._topic, self._status = config, topic, status
        self._heard: queue.Queue[bytes] = queue.Queue(_WAITING)
        self._failed: EmbedError | None = None
        self._connected = False
        self.dropped = 0
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.reconnect_delay_set(_FIRST_WAIT, _LONGEST_WAIT)
        self._client.max_queued_messages_set(_WAITING)
        self._client.will_set(status, b"offline", qos=1, retain=True)
        if config.user is not None:
            self._client.username_pw_set(config.user, config.password)
        self._tls = _tls(config) if config.tls else None
        if self._tls is not None:
            self._client.tls_set_context(self._tls)
        self._client.on_connect = self._on_connect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message

    def start(self) -> None:
        """Connect, and keep trying if no one answers."""
        self._client.connect_async(self._config.host, self._config.port, _KEEP_ALIVE)
        self._client.loop_start()

    def next(self, seconds: float | None) -> bytes | None:
        """Return the next message, None if none is received in time.

        Args:
            seconds: time limit; None: none.

        Raises:
            BrokerError: the broker refuses user, password or topic.
        """
        if self._failed is not None:
            raise self._failed
        try:
            # Waits are short, since Ctrl-C does not interrupt one on every system.
            return self._heard.get(timeout=1.0 if seconds is None else min(seconds, 1.0))
        except queue.Empty:
            return None

    def publish(self, topic: str, content: bytes, retain: bool) -> None:
        """Publish a message, now or when the broker is reachable again.

        Args:
            topic: of the message.
            content: the message.
            retain: whether the broker keeps it for later subscribers.
        """
        self._client.publish(topic, content, qos=1, retain=retain)

    def stop(self) -> None:
        """Publish `offline`, and close the connection."""
        if self._connected:
            self._client.publish(self._status, b"offline", qos=1, retain=True).wait_for_publish(_LAST_WORDS)
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            if reason.value in _REFUSED:
                self._fail(f"refuses us: {reason}; --user and --password-file say who we are")
            else:
                _log.warning("%s: not connected: %s", self._place(), reason)
            return
        self._connected = True
        client.subscribe(self._topic)
        client.publish(self._status, b"online", qos=1, retain=True)
        _log.info("%s: connected", self._place())

    def _on_connect_fail(self, *_: Any) -> None:
        _log.warning("%s: no connection: %s; trying again", self._place(), self._why())

    def _on_disconnect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if self._connected and reason.is_failure:
            _log.warning("%s: the connection is lost; trying again", self._place())
        self._connected = False

    def _on_message(self, client: Any, data: Any, message: Any) -> None:
        while True:
            try:
                self._heard.put_nowait(message.payload)
                return
            except queue.Full:
                self.dropped += 1
                if self.dropped == 1:
                    _log.warning(
                        "%s: more messages than can be answered; the oldest are dropped", self._place()
                    )
                try:
                    self._heard.get_nowait()
                except queue.Empty:
                    continue

    def _why(self) -> str:
        """Return why there is no connection, which paho does not say, by another try."""
        try:
            with socket.create_connection((self._config.host, self._config.port), _PROBE) as plain:
                if self._tls is not None:
                    with self._tls.wrap_socket(plain, server_hostname=self._config.host):
                        pass
        except ssl.SSLCertVerificationError as error:
            return f"its certificate is not trusted ({error.verify_message}); --ca says whose is"
        except OSError as error:
            return str(error.strerror or error)
        return "it does not answer as a broker"

    def _fail(self, reason: str) -> None:
        self._failed = BrokerError(f"{self._place()}: {reason}")

    def _place(self) -> str:
        return f"mqtt broker {self._config.host}:{self._config.port}"


def _tls(config: BrokerConfig) -> ssl.SSLContext:
    try:
        context = tls_context(config.ca)
        if config.cert is not None:
            context.load_cert_chain(config.cert, config.key)
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(str(path) for path in (config.ca, config.cert, config.key) if path is not None)
        raise UsageError(f"{files}: expected certificates and keys in PEM: {error}") from error
    return context
