"""Parse Frigate's events, and write what Home Assistant reads. Bytes and text in and out.

Anyone who may publish to the broker can send an event, so its content is not trusted: what is not exactly as
expected is no event.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

LONGEST = 262_144  # bytes of an event; Frigate's have some 2,000, with the path of the person up to 100,000
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # becomes a part of an address
_CAMERA = re.compile(r"[^\x00-\x1f/+#]{1,100}")  # becomes a part of a topic
_LONGEST_LABEL = 100  # characters of Frigate's sub label


@dataclass(frozen=True)
class FrigateEvent:
    """Holds a message about something that Frigate follows.

    Attributes:
        kind: `new`, `update` or `end`.
        event: Frigate's id of it.
        camera: its name.
        label: what it is, such as `person`.
        sub_label: name that it has by now, or None.
        has_snapshot: whether there is a picture of it.
    """

    kind: str
    event: str
    camera: str
    label: str
    sub_label: str | None
    has_snapshot: bool


def read_event(payload: bytes) -> FrigateEvent | None:
    """Parse a message of the topic `frigate/events`; None if it is no such message.

    Example:
        >>> read_event(b'{"type": "end", "after": {"id": "1-a", "camera": "door", "label": "person"}}').kind
        'end'
    """
    if len(payload) > LONGEST:
        return None
    try:
        content = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or not isinstance(after := content.get("after"), dict):
        return None
    kind, event, camera, label = content.get("type"), after.get("id"), after.get("camera"), after.get("label")
    if not (isinstance(event, str) and isinstance(camera, str) and isinstance(label, str)):
        return None
    if kind not in ("new", "update", "end"):
        return None
    if not _ID.fullmatch(event) or ".." in event or not _CAMERA.fullmatch(camera):
        return None
    return FrigateEvent(
        kind, event, camera, label, _sub_label(after.get("sub_label")), after.get("has_snapshot") is True
    )


def _sub_label(value: Any) -> str | None:
    """Return a sub label: a text in older versions of Frigate, a text and a score in newer ones."""
    if isinstance(value, list) and value:
        value = value[0]
    return value if isinstance(value, str) and value else None


def sub_label_body(name: str, score: float) -> bytes:
    """Write the body that sets a sub label.

    Args:
        name: cut to what Frigate takes.
        score: 0 to 1; Frigate refuses 0.
    """
    content = {"subLabel": name[:_LONGEST_LABEL], "subLabelScore": round(min(1.0, max(0.01, score)), 3)}
    return json.dumps(content).encode()


@dataclass(frozen=True)
class Topics:
    """Holds the topics of our messages.

    Attributes:
        base: prefix of all our topics.
        discovery: prefix of Home Assistant's discovery topics; empty: nothing is sent there.
    """

    base: str = "embed"
    discovery: str = "homeassistant"

    @property
    def status(self) -> str:
        """The topic that holds `online` or `offline`."""
        return f"{self.base}/status"

    @property
    def events(self) -> str:
        """The topic of every answer."""
        return f"{self.base}/events"

    def camera(self, camera: str) -> str:
        """Return the topic of the last answer of a camera."""
        return f"{self.base}/cameras/{camera}"

    def person(self, name: str) -> str:
        """Return the topic of where and when a person was seen last."""
        return f"{self.base}/people/{slug(name)}"

    def camera_config(self, camera: str, version: str) -> tuple[str, bytes]:
        """Return topic and content that make a camera's last person a sensor of Home Assistant.

        Args:
            camera: its name.
            version: of the toolkit.
        """
        facts = {"name": f"{camera} person", "icon": "mdi:face-recognition"}
        return self._config(f"camera_{slug(camera)}", self.camera(camera), "name", facts, version)

    def person_config(self, name: str, version: str) -> tuple[str, bytes]:
        """Return topic and content that make the place where a person was seen last a sensor.

        Args:
            name: of the person.
            version: of the toolkit.
        """
        facts = {"name": f"{name} last seen", "icon": "mdi:account-eye"}
        return self._config(f"person_{slug(name)}", self.person(name), "camera", facts, version)

    def _config(
        self, key: str, topic: str, value: str, facts: dict[str, str], version: str
    ) -> tuple[str, bytes]:
        base = slug(self.base)
        content = {
            **facts,
            "unique_id": f"{base}_{key}",
            "state_topic": topic,
            "value_template": f"{{{{ value_json.{value} }}}}",
            "json_attributes_topic": topic,
            "availability_topic": self.status,
            "device": {"identifiers": [f"embed_{base}"], "name": "embed", "sw_version": version},
            "origin": {"name": "embed", "sw_version": version},
        }
        return f"{self.discovery}/sensor/{base}/{key}/config", json.dumps(content).encode()


def slug(text: str) -> str:
    """Convert a text to a part of a topic and of an id, different for different texts.

    The result has only a-z, 0-9 and _.

    Example:
        >>> slug("front_door"), slug("Zoë K")
        ('front_door', 'zo_k_7988f8')
    """
    plain = re.sub(r"[^a-z0-9_]+", "_", text.lower())[:40].strip("_")
    if plain and plain == text:
        return plain
    return f"{plain or 'x'}_{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:6]}"
