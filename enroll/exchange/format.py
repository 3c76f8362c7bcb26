"""The file that `embed gallery export` writes: JSON Lines, described in docs/gallery.md; `parsing` reads it.

```
{"embed-gallery": 1, "model": {"fingerprint": "…", "dim": 128}}
{"person": "Ada", "consent": null, "consent_date": null, "expires": null}
{"photo": "ada/1.jpg", "digest": "…", "vector": "…"}                        of the person above
{"stranger": "Bob", "photo": "bob/1.jpg", "digest": "…", "vector": "…"}
{"calibration": "…"}                                                        if there is one
{"end": {"people": 1, "templates": 1, "strangers": 1}, "sha256": "…"}       of all bytes above
```
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from datetime import date
from typing import Any

import numpy as np

from enroll.exchange.content import Content
from enroll.store import NewTemplate

VERSION = 1
TERMS = ("consent", "consent_date", "expires")


def to_lines(content: Content) -> Iterator[bytes]:
    """Write a gallery as lines, each with its line feed."""
    digest = hashlib.sha256()
    for line in map(_line, _records(content)):
        digest.update(line)
        yield line
    counts = {
        "people": len(content.people),
        "templates": content.templates,
        "strangers": len(content.strangers),
    }
    yield _line({"end": counts, "sha256": digest.hexdigest()})


def _records(content: Content) -> Iterator[dict[str, Any]]:
    model = None if content.model is None else {"fingerprint": content.model[0], "dim": content.model[1]}
    yield {"embed-gallery": VERSION, "model": model}
    for person in content.people:
        given = {name: getattr(person.terms, name) for name in TERMS}
        texts = {
            name: value.isoformat() if isinstance(value, date) else value for name, value in given.items()
        }
        yield {"person": person.name, **texts}
        yield from map(_template, person.templates)
    for name, template in content.strangers:
        yield {"stranger": name, **_template(template)}
    if content.calibration is not None:
        yield {"calibration": content.calibration}


def _text(value: str | date | None) -> str | None:
    return value.isoformat() if isinstance(value, date) else value


def _template(template: NewTemplate) -> dict[str, Any]:
    vector = base64.b64encode(np.asarray(template.vector, "<f4").tobytes()).decode()
    return {"photo": template.photo, "digest": template.digest.hex(), "vector": vector}


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, allow_nan=False).encode() + b"\n"
