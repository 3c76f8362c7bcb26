"""What a gallery keeps of its calibration, and what stands behind a threshold."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from embedder._internal.wording import count
from embedder.errors import GalleryError
from enroll.calibration import Promise
from enroll.confidence import Curve

if TYPE_CHECKING:
    from embedder.model_folder import Threshold
    from enroll.store.base import Changed, Store


_GROWTH = 0.1  # share by which people or photos may grow before the promise is in doubt


@dataclass(frozen=True)
class Calibration:
    """A promise, and when and for which model it was made.

    Attributes:
        promise: the threshold and what it rests on.
        curve: gives the probability that a name is right, or None if the gallery cannot teach it.
        fingerprint: of the model.
        date: ISO 8601, UTC.
    """

    promise: Promise
    curve: Curve | None
    fingerprint: str
    date: str

    def to_text(self) -> str:
        """Give JSON."""
        return json.dumps(asdict(self), allow_nan=False)

    @classmethod
    def from_text(cls, text: str, path: object) -> Calibration:
        """Read what `to_text` wrote.

        Raises:
            GalleryError: it is something else.
        """
        try:
            content = json.loads(text)
            curve = content["curve"]
            return cls(
                Promise(**_numbers(content["promise"], Promise)),
                None if curve is None else Curve(**_numbers(curve, Curve)),
                str(content["fingerprint"]),
                str(content["date"]),
            )
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            raise GalleryError(
                f"{path}: broken: its calibration cannot be read ({error}); run `embed calibrate`"
            ) from error

    def outdated(self, changed: Changed) -> str | None:
        """Say what has changed since so that the promise is in doubt, or None."""
        people, templates = self.promise.identities, self.promise.templates
        notes = []
        if changed.added > _GROWTH * people:
            notes.append(f"{count(changed.added, 'person')} more than the {people} it was made for")
        if changed.removed:
            notes.append(f"{changed.removed} of its {count(people, 'person')} gone")
        if not notes and changed.templates > (1 + _GROWTH) * templates:
            notes.append(f"{count(changed.templates, 'photo')} instead of {templates}")
        return f"{', '.join(notes)}; run `embed calibrate` again" if notes else None


@dataclass(frozen=True)
class Basis:
    """What a threshold rests on.

    Attributes:
        source: `gallery`: calibrated; `model`: the first estimate of training; `given`: by the user.
        distance: the threshold.
        calibration: of the gallery, also where another threshold is used, or None.
        estimate: of the model, if it is the source.
        warning: why the promise is in doubt, or None.
    """

    source: str
    distance: float
    calibration: Calibration | None = None
    estimate: Threshold | None = None
    warning: str | None = None

    def in_words(self) -> str:
        """Say what the threshold promises."""
        start = f"Threshold {self.distance:.3f}"
        if self.source == "given":
            return f"{start}, as given: no promise about strangers stands behind it"
        if self.source == "model" and self.estimate is not None:
            return (
                f"{start}: a first estimate from {count(self.estimate.people, 'person')}, meant to name "
                f"{100 * self.estimate.target_fpir:g} % of strangers in a gallery of "
                f"{self.estimate.gallery_identities}; `embed calibrate` makes it a promise for this gallery"
            )
        assert self.calibration is not None
        return f"{start}: {describe(self.calibration)}"

    def facts(self) -> dict[str, Any]:
        """Give the same for JSON."""
        promise = self.calibration.promise if self.calibration and self.source == "gallery" else None
        return {
            "source": self.source,
            "target_fpir": promise.target_fpir
            if promise
            else self.estimate.target_fpir
            if self.estimate
            else None,
            "confidence": promise.confidence if promise else None,
            "searches": promise.searches if promise else None,
            "identities": promise.identities if promise else None,
            "date": self.calibration.date if promise and self.calibration else None,
            "warning": self.warning,
        }


def read_calibration(store: Store, fingerprint: str) -> tuple[Calibration, str | None] | None:
    """Read what a gallery keeps of its calibration, and why it is in doubt by now.

    Args:
        store: the gallery.
        fingerprint: of the model.

    Returns:
        None if there is none for this model.

    Raises:
        GalleryError: the calibration is broken.
    """
    if (kept := store.calibration()) is None:
        return None
    calibration = Calibration.from_text(kept[0], store.location)
    if calibration.fingerprint != fingerprint:
        return None
    return calibration, calibration.outdated(kept[1])


def describe(calibration: Calibration) -> str:
    """Say what was promised, and what counting alone would promise."""
    promise = calibration.promise
    return (
        f"names at most {100 * promise.target_fpir:g} % of strangers in this gallery of "
        f"{count(promise.identities, 'person')}, {100 * promise.confidence:g} % sure, by a model of the "
        f"distances (calibrated {calibration.date[:10]}); counted: {promise.named} of "
        f"{count(promise.searches, 'search')} for {count(promise.strangers, 'stranger')} named someone, "
        f"which alone promises at most {float(f'{100 * promise.counted_bound:.2g}'):g} %"
    )


def _numbers(content: dict[str, Any], kind: type[Any]) -> dict[str, Any]:
    names = {entry.name: entry.type for entry in fields(kind)}
    if set(content) != set(names):
        raise ValueError(f"expected {sorted(names)}, got {sorted(content)}")
    for name, expected in names.items():
        value = content[name]
        whole = expected == "int"
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            raise ValueError(f"{name}: expected a number, got {value!r}")
        if not math.isfinite(value):
            raise ValueError(f"{name}: expected a finite number, got {value!r}")
    return content
