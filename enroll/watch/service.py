"""Follow Frigate by MQTT, answer its events, and publish the answers for Home Assistant."""

from __future__ import annotations

import json
from collections.abc import Generator
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from enroll.watch.broker import Broker
from enroll.watch.events import EventAnswer, EventIdentifier
from enroll.watch.messages import Topics, read_event

_MOST_SENSORS = 1000  # of cameras and people that are announced to Home Assistant


class FrigateWatch:
    """Runs `embed watch-frigate`: receives events, publishes answers.

    Attributes:
        ignored: number of messages that were none of Frigate's.
    """

    def __init__(self, identifier: EventIdentifier, broker: Broker, topics: Topics) -> None:
        """Join identifier and broker.

        Args:
            identifier: answers events.
            broker: receives them, and publishes answers.
            topics: of the answers.
        """
        self._identifier, self._broker, self._topics = identifier, broker, topics
        self._announced: set[str] = set()
        self.ignored = 0

    def answers(self) -> Generator[EventAnswer]:
        """Yield answers, without end; closing the generator publishes `offline`.

        Raises:
            BrokerError: the broker refuses us.
        """
        self._broker.start()
        try:
            while True:
                payload = self._broker.next(self._identifier.wait())
                if payload is not None:
                    self._hear(payload)
                for answer in self._identifier.work():
                    self._publish(answer)
                    yield answer
        finally:
            self._broker.stop()

    def _hear(self, payload: bytes) -> None:
        event = read_event(payload)
        if event is None:
            self.ignored += 1
        else:
            self._identifier.hear(event)

    def _publish(self, answer: EventAnswer) -> None:
        content = json.dumps(answer_to_dict(answer), allow_nan=False).encode()
        name = answer.agreement.decision.identity
        self._announce(f"camera {answer.camera}", *self._topics.camera_config(answer.camera, _version()))
        self._broker.publish(self._topics.camera(answer.camera), content, True)
        if name is not None:
            self._announce(f"person {name}", *self._topics.person_config(name, _version()))
            self._broker.publish(self._topics.person(name), content, True)
        self._broker.publish(self._topics.events, content, False)

    def _announce(self, key: str, topic: str, content: bytes) -> None:
        if self._topics.discovery and key not in self._announced and len(self._announced) < _MOST_SENSORS:
            self._announced.add(key)
            self._broker.publish(topic, content, True)


def answer_to_dict(answer: EventAnswer) -> dict[str, Any]:
    """Convert an answer to a dict for JSON; `name` is `unknown` for strangers."""
    agreement = answer.agreement
    decision = agreement.decision
    return {
        "name": decision.identity or "unknown",
        "identity": decision.identity,
        "reason": decision.reason,
        "confidence": round(100 * answer.score, 1),  # per cent, as Home Assistant's own faces have it
        "distance": decision.distance,
        "threshold": decision.threshold,
        "frames": agreement.frames,
        "good": agreement.good,
        "agreed": agreement.agreed,
        "against": agreement.against,
        "camera": answer.camera,
        "event": answer.event,
        "final": answer.final,
        "moment": datetime.now(UTC).astimezone().isoformat(timespec="milliseconds"),
    }


def _version() -> str:
    try:
        return version("embedder-enroll")
    except PackageNotFoundError:
        return "unknown"
