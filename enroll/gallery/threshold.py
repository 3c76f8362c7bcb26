"""Keep a calibration in a gallery, and describe the evidence for a threshold."""

from __future__ import annotations

import json
import math
from dataclasses import MISSING, asdict, dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

from embedder._internal.wording import count
from embedder.errors import GalleryError, UsageError
from embedder.metrics import CONFIDENCE
from embedder.strangers import people_in_sets
from enroll.calibration import UNLIKELY, Calibration, first_threshold
from enroll.confidence import ConfidenceModel
from enroll.store.limits import FINGERPRINT, text_problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embedder.strangers import StrangerDistances
    from enroll.store.base import Changed, Store
    from enroll.templates import Templates


_LONGEST_DATE = 40  # characters
TARGET_FPIR = 0.01  # of a gallery that is not calibrated
_COMPARED = 128  # photos that a first threshold compares: some hundredths of a second
_MOST_COMPARED = 4 * _COMPARED  # where single people have very many
_GROWTH = 0.1  # share by which people or photos may grow before the calibration is out of date


@dataclass(frozen=True)
class CalibrationRecord:
    """Holds a calibration with its date and its model, as a gallery stores it.

    Attributes:
        calibration: the threshold and its evidence; `promise` in the JSON.
        curve: model of the probability that a name is right, or None if the gallery is too small to fit one.
        fingerprint: of the model.
        date: ISO 8601, UTC.
    """

    calibration: Calibration
    curve: ConfidenceModel | None
    fingerprint: str
    date: str

    def to_text(self) -> str:
        """Convert to JSON."""
        facts = asdict(self)
        return json.dumps({"promise": facts.pop("calibration"), **facts}, allow_nan=False)

    @classmethod
    def from_text(cls, text: str, path: object) -> CalibrationRecord:
        """Parse what `to_text` wrote.

        Args:
            text: the JSON.
            path: of the gallery, for errors.

        Raises:
            GalleryError: it is something else.
        """
        try:
            content = json.loads(text)
            curve = content["curve"]
            date = _text(content["date"], "date", _LONGEST_DATE)
            datetime.fromisoformat(date)
            return cls(
                Calibration(**_numbers(content["promise"], Calibration)),
                None if curve is None else ConfidenceModel(**_numbers(curve, ConfidenceModel)),
                _text(content["fingerprint"], "fingerprint", FINGERPRINT),
                date,
            )
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            raise GalleryError(
                f"{path}: broken: its calibration cannot be read ({error!s:.900}); run `embed calibrate`"
            ) from error

    def stale_reason(self, changed: Changed) -> str | None:
        """Return why the calibration may not hold any more, or None."""
        people, templates = self.calibration.identities, self.calibration.templates
        notes = []
        if changed.added > _GROWTH * people:
            notes.append(f"{count(changed.added, 'person')} more than the {people} it was made for")
        if changed.removed:
            notes.append(f"{changed.removed} of its {count(people, 'person')} gone")
        if not notes and changed.templates > (1 + _GROWTH) * templates:
            notes.append(f"{count(changed.templates, 'photo')} instead of {templates}")
        return f"{', '.join(notes)}; run `embed calibrate` again" if notes else None


@dataclass(frozen=True)
class FromModel:
    """Holds a threshold before calibration, from the model's distances between strangers.

    Attributes:
        distance: the threshold, 0 to 2.
        target_fpir: limit of the share of strangers that are named.
        identities: number of people in the gallery.
        known: the model's distances between strangers.
        comparisons: number of comparisons of the gallery's photos with people they do not show that were
            used.
        agreement: as `Calibration.agreement`.
    """

    distance: float
    target_fpir: float
    identities: int
    known: StrangerDistances
    comparisons: int = 0
    agreement: float = 1.0

    @classmethod
    def for_gallery(
        cls,
        known: StrangerDistances,
        people: Sequence[tuple[str, int]],
        templates: Templates | None = None,
    ) -> FromModel:
        """Find the threshold for FPIR 1 %; the order of people and photos changes no bit of it.

        Args:
            known: distances between strangers by the model.
            people: names with their numbers of photos.
            templates: of some of them (`some_people`), compared with each other; None: `known` alone is used.
        """
        number = max(len(people), 1)
        photos = math.exp(math.fsum(math.log(max(photos, 1)) for _, photos in people) / number)
        import numpy as np

        if templates is None or not len(templates.ids):
            return cls(known.threshold(TARGET_FPIR, number, photos), TARGET_FPIR, len(people), known)
        names = templates.identities.astype(str)
        order = np.lexsort((templates.vectors[:, 1], templates.vectors[:, 0], names))
        rows = order[np.unique(np.linspace(0, len(order) - 1, _MOST_COMPARED).astype(np.intp))]
        vectors, names = templates.vectors[rows], names[rows]
        try:
            found = first_threshold(vectors, names, known, TARGET_FPIR, number, photos)
        except UsageError:  # photos of different people are the same; `calibrate` reports it
            found = known.threshold(TARGET_FPIR, number, photos), 0, 0.0
        distance, comparisons, agreement = found
        return cls(distance, TARGET_FPIR, len(people), known, comparisons, agreement)


def some_people(people: Sequence[tuple[str, int]], most: int = _COMPARED) -> frozenset[str]:
    """Choose the people whose photos are compared for a first threshold, evenly by name.

    Args:
        people: names with their numbers of photos.
        most: largest number of photos; two people are chosen in any case.

    Example:
        >>> sorted(some_people([("ada", 2), ("ben", 2), ("cyd", 2), ("dan", 2)], most=4))
        ['ada', 'cyd']
    """
    photos = max(sum(count for _, count in people), 1)
    step = max(1, min(-(-photos // most), len(people) // 2))
    return frozenset(sorted(name for name, _ in people)[::step])


@dataclass(frozen=True)
class ThresholdSource:
    """Holds a threshold and where it comes from.

    Attributes:
        source: `gallery`: calibrated; `model`: from the model's distances between strangers; `given`: by the
            user.
        distance: the threshold, 0 to 2.
        record: the gallery's calibration, also where another threshold is used, or None.
        estimate: by the model, if it is the source.
        warning: why the calibration may not hold any more, or None.
    """

    source: str
    distance: float
    record: CalibrationRecord | None = None
    estimate: FromModel | None = None
    warning: str | None = None

    def describe(self) -> str:
        """Describe what the threshold states about strangers."""
        start = f"Threshold {self.distance:.3f}"
        if self.source == "given":
            return f"{start}, as given: nothing is known of how many strangers it names"
        if self.source == "model" and (estimate := self.estimate) is not None:
            more = (
                f" and {count(estimate.comparisons, 'comparison')} of this gallery; `embed calibrate` "
                "compares all, and adds the probability that a name is right"
                if estimate.comparisons
                else "; `embed calibrate` adds the gallery's own comparisons"
            )
            return (
                f"{start}: names at most {100 * estimate.target_fpir:g} % of strangers in a gallery of "
                f"{count(estimate.identities, 'person')}, {100 * CONFIDENCE:g} % sure, from what is "
                f"known of this network's distances between strangers ({estimate.known.describe()}){more}"
            )
        assert self.record is not None
        return f"{start}: {describe(self.record)}"

    def to_dict(self) -> dict[str, Any]:
        """Convert to a dict for JSON."""
        made = self.record.calibration if self.record and self.source == "gallery" else None
        estimate, known = self.estimate, self.estimate.known if self.estimate else None
        return {
            "source": self.source,
            "target_fpir": made.target_fpir if made else estimate.target_fpir if estimate else None,
            "confidence": made.confidence if made else CONFIDENCE if estimate else None,
            "searches": made.searches if made else 0 if estimate else None,
            "identities": made.identities if made else estimate.identities if estimate else None,
            "known_people": made.known_people if made else known.people if known else None,
            "known_sets": made.known_sets if made else known.sets if known else None,
            "comparisons": made.comparisons if made else estimate.comparisons if estimate else None,
            "set_aside": made.set_aside if made else None,
            "date": self.record.date if made and self.record else None,
            "warning": self.warning,
        }


def read_calibration(store: Store, fingerprint: str) -> tuple[CalibrationRecord, str | None] | None:
    """Read the calibration of a gallery, and why it is in doubt or None.

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
    calibration = CalibrationRecord.from_text(kept[0], store.location)
    if calibration.fingerprint != fingerprint:
        return None
    return calibration, calibration.stale_reason(kept[1])


def describe(record: CalibrationRecord) -> str:
    """Describe a calibration: what it states, its evidence, and the result of counting alone."""
    calibration = record.calibration
    counted = (
        f"counted: {calibration.named} of {count(calibration.searches, 'search')} for "
        f"{count(calibration.strangers, 'stranger')} named someone, which alone shows at most "
        f"{float(f'{100 * calibration.counted_bound:.2g}'):g} %"
        if calibration.searches
        else "nothing to count"
    )
    return (
        f"names at most {100 * calibration.target_fpir:g} % of strangers in this gallery of "
        f"{count(calibration.identities, 'person')}, {100 * calibration.confidence:g} % sure, "
        f"{evidence(calibration)} (calibrated {record.date[:10]}); {counted}"
    )


def evidence(calibration: Calibration) -> str:
    """Describe the evidence for a calibration."""
    if not calibration.known_people:
        return "by a model of the distances"
    known = people_in_sets(calibration.known_people, calibration.known_sets)
    own = (
        f"and {count(calibration.comparisons, 'comparison')} of this gallery"
        if calibration.comparisons
        else "without any comparison of this gallery"
    )
    return f"from what is known of this network's distances between strangers ({known}) {own}"


def contradiction(calibration: Calibration | FromModel) -> str | None:
    """Describe how the gallery's photos contradict the model's distances, or return None."""
    if calibration.agreement >= UNLIKELY:
        return None
    return (
        "the distances between this gallery's people are unlike those this network is known for (as unlike "
        f"as {float(f'{100 * calibration.agreement:.1g}'):g} % of galleries): photos of another kind, such "
        "as of few pixels, or many wrong names; the gallery's own weigh more, and `embed calibrate "
        "--strangers DIR` gives more of them"
    )


def _numbers(content: Any, kind: type[Any]) -> dict[str, Any]:
    """Check the names of the numbers; `kind` itself checks each."""
    names = {entry.name for entry in fields(kind)}
    required = {entry.name for entry in fields(kind) if entry.default is MISSING}
    if not isinstance(content, dict) or not required <= content.keys() <= names:  # older ones have fewer
        got = sorted(content) if isinstance(content, dict) else content
        raise ValueError(f"expected {sorted(names)}, got {got!r:.600}")
    return content


def _text(value: Any, what: str, longest: int) -> str:
    if problem := text_problem(value, what, longest):
        raise ValueError(problem)
    if not value.isprintable():
        raise ValueError(f"{what}: expected text that can be shown, got {value[:80]!a}")
    return str(value)
