"""Write the doctor's findings as text and as JSON, with the command that fixes each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from embedder._internal.wording import count, shell_words
from enroll.doctor.examine import ENOUGH_PHOTOS
from enroll.gallery.photos import photo_handle

if TYPE_CHECKING:
    from enroll.doctor.examine import Examination, FpirForecast
    from enroll.gallery.photos import PoorPhotos
    from enroll.store import Store
    from enroll.templates import StoredTemplate


_LISTED = 20  # entries of each kind in a text; JSON has all

_SURE = 0.999


@dataclass(frozen=True)
class Finding:
    """Holds one finding, as text and for JSON.

    Attributes:
        text: for people.
        facts: for JSON.
        command: that fixes it, None if there is none.
        people: indices of the people in `LabeledTemplates.names`.
        row: of its photo, -1 if it is about people.
    """

    text: str
    facts: dict[str, Any]
    command: str | None = None
    people: tuple[int, ...] = ()
    row: int = -1


@dataclass(frozen=True)
class Section:
    """Holds all findings of one kind, with their name in JSON and in a text."""

    key: str
    title: str
    findings: tuple[Finding, ...]

    def lines(self) -> Iterator[str]:
        """Yield the findings as text, or that there are none."""
        yield f"{self.title}: {len(self.findings) or 'none'}"
        for finding in self.findings[:_LISTED]:
            yield f"  {finding.text}"
            if finding.command:
                yield f"      {finding.command}"
        if len(self.findings) > _LISTED:
            yield f"  and {len(self.findings) - _LISTED} more; --json lists all"

    def to_list(self) -> list[dict[str, Any]]:
        """Convert to a list of dicts for JSON."""
        return [
            entry.facts | ({"command": entry.command} if entry.command else {}) for entry in self.findings
        ]


class DoctorReport:
    """Reports an examination.

    Attributes:
        store: the gallery.
        examined: the findings.
        gallery: value of `--gallery` in commands, None to leave it out.
    """

    def __init__(
        self,
        store: Store,
        examined: Examination,
        poor: PoorPhotos | None = None,
        gallery: str | None = None,
    ) -> None:
        """Look up the photos of the findings.

        Args:
            store: the gallery.
            examined: the findings.
            poor: photos that are too poor, None if they were not checked.
            gallery: value of `--gallery` in commands, None to leave it out.
        """
        self.store, self.examined, self.gallery = store, examined, gallery
        self._poor = poor
        labeled = examined.templates
        self._names = labeled.names
        spoken_of = {self._names[labeled.labels[photo.row]] for photo in examined.judged.mislabeled}
        spoken_of |= {entry.name for entry in poor.photos} if poor else set()
        self._stored = {name: store.stored(name) for name in sorted(spoken_of)}

    def to_json(self) -> str:
        """Convert to one JSON object, pure ASCII so that no name acts on a terminal."""
        found, forecast = self.examined, self.examined.forecast
        facts: dict[str, Any] = {"people": len(self._names), "photos": len(found.templates.labels)}
        facts |= {section.key: section.to_list() for section in self.sections()}
        facts["files_gone"] = self._poor.gone if self._poor else None
        facts["growth"] = forecast and {
            "threshold": forecast.threshold,
            "calibrated": forecast.calibrated,
            "warning": forecast.warning,
            "fpir": [list(pair) for pair in zip(forecast.people, forecast.fpir, strict=True)],
            "near_another": found.near,
        }
        facts["notes"] = list(found.notes)
        return json.dumps(facts, allow_nan=False)

    def lines(self) -> Iterator[str]:
        """Yield the report as text, also what was looked for and not found."""
        found = self.examined
        yield f"{count(len(self._names), 'person')}, {count(len(found.templates.labels), 'photo')}"
        for section in self.sections():
            yield from section.lines()
        yield from self.unseen()
        if found.forecast:
            yield from _growing(found.forecast)
            seen = int(found.judged.kept.sum())
            yield f"  counted, within it of someone else: {found.near} of {count(seen, 'photo')}"
        yield from found.notes

    def unseen(self) -> Iterator[str]:
        """Yield which photos were not checked."""
        if self._poor is None:
            yield "Poor photos: not looked for; --photos does, where their files are still there"
        elif self._poor.gone:
            yield f"Not looked at, as the file is gone or has changed: {count(self._poor.gone, 'photo')}"

    def sections(self) -> Iterator[Section]:
        """Yield all findings, by kind."""
        found, names = self.examined, self._names
        yield Section("wrong_photos", "Photos that do not look like their person", tuple(self._wrong()))
        divided = (
            Finding(f"{names[label]}: look at the photos", {"person": names[label]}, people=(label,))
            for label in found.judged.divided
        )
        yield Section("divided_people", "People whose photos differ, without a majority", tuple(divided))
        twice = (
            Finding(
                f"{names[pair.first]} and {names[pair.second]}, {in_percent(pair.probability)} sure",
                {"names": [names[pair.first], names[pair.second]], "probability": pair.probability},
                self.command("merge-people", operands=(names[pair.first], names[pair.second])),
                (pair.first, pair.second),
            )
            for pair in found.duplicates
        )
        yield Section("same_person", "Names that are probably one person twice", tuple(twice))
        confused = (
            Finding(
                f"{names[pair.first]} and {names[pair.second]}: {count(pair.photos, 'photo')}, the nearest "
                f"two {pair.distance:.3f} apart",
                {
                    "names": [names[pair.first], names[pair.second]],
                    "photos": pair.photos,
                    "distance": pair.distance,
                },
                people=(pair.first, pair.second),
            )
            for pair in found.lookalikes
        )
        if found.forecast:
            within = f"People who are easily confused, within {found.forecast.threshold:.3f}"
            yield Section("confused", within, tuple(confused))
        few = (
            Finding(f"{names[label]}: {photos}", {"person": names[label], "photos": photos}, people=(label,))
            for label, photos in found.few
        )
        yield Section("few_photos", f"People with fewer than {count(ENOUGH_PHOTOS, 'photo')}", tuple(few))
        if self._poor:
            poor = (
                Finding(
                    f"{entry.name}: {entry.template.photo}: {entry.reason}",
                    {"person": entry.name, "photo": entry.template.photo, "reason": entry.reason},
                    self._drop(entry.name, entry.template),
                    row=self._row(entry.template.id),
                )
                for entry in self._poor.photos
            )
            yield Section("poor_photos", "Poor photos", tuple(poor))

    def _wrong(self) -> Iterator[Finding]:
        labeled = self.examined.templates
        for photo in self.examined.judged.mislabeled:
            name, number = self._names[labeled.labels[photo.row]], int(labeled.ids[photo.row])
            like = self._names[photo.like] if photo.like >= 0 else None
            for template in self._stored[name]:
                if template.id == number:  # it may have been erased since
                    yield Finding(
                        f"{name}: {template.photo} looks like {like or 'no one here'}, "
                        f"{in_percent(photo.probability)} sure",
                        {
                            "person": name,
                            "photo": template.photo,
                            "digest": template.digest.hex(),
                            "like": like,
                            "probability": photo.probability,
                        },
                        self._drop(name, template),
                        (int(labeled.labels[photo.row]), *((photo.like,) if photo.like >= 0 else ())),
                        photo.row,
                    )

    def _drop(self, name: str, template: StoredTemplate) -> str:
        """Return the command that erases a photo."""
        photo = photo_handle(self._stored[name], template)
        return self.command("remove-photo", operands=(name, photo))

    def command(self, action: str, operands: tuple[str, ...]) -> str:
        """Return a command of `embed gallery` for this gallery, to be pasted into a shell."""
        option = ["--gallery", self.gallery] if self.gallery else []
        return shell_words("embed", "gallery", action, *option, operands=operands)

    def _row(self, number: int) -> int:
        """Return the row of a template, -1 if it was enrolled since."""
        ids = self.examined.templates.ids
        row = int(np.searchsorted(ids, number))
        return row if row < len(ids) and ids[row] == number else -1


def _growing(forecast: FpirForecast) -> Iterator[str]:
    origin = "the gallery's own" if forecast.calibrated else "about what `embed calibrate` would give"
    yield f"Strangers who are named, at most, at the threshold {forecast.threshold:.3f} ({origin}):"
    for people, fpir in zip(forecast.people, forecast.fpir, strict=True):
        yield f"  among {count(people, 'person')}: {in_percent(fpir)}"
    if forecast.warning:
        yield f"  in doubt: {forecast.warning}"


def in_percent(share: float) -> str:
    """Format a share with two digits, never rounded to certainty."""
    if share > _SURE:
        return f"more than {100 * _SURE:g} %"
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"
