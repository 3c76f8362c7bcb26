"""Write the doctor's findings as a page: each with its photos and the command that fixes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedder._internal.wording import count, shell_words
from embedder.errors import UnknownIdentityError
from embedder.metrics import squared_distances
from enroll.report.doctor import in_percent
from enroll.report.gallery_plots import forecast_plot
from enroll.report.page import Entry, Face, Plot, face, file_name, render

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from enroll.report.doctor import DoctorReport, Finding, Section
    from enroll.templates import StoredTemplate

    CropOfTemplate = Callable[[StoredTemplate], NDArray[np.uint8] | None]

SHOWN = 50  # findings of each kind
_PHOTOS = 6  # of one person that are shown
_COMPARED = 64  # photos of each of two people, of which the nearest two are shown
_ADVICE = {
    "wrong_photos": "Look whether the first picture shows its person. The command removes it; leave it if "
    "it is right.",
    "divided_people": "Photos of several people seem to be under one name. The command lists them, to "
    "remove those that show someone else.",
    "same_person": "If they are one person, the command joins both names under the first.",
    "confused": "A photo of one may be answered with the name of the other. More and better photos of both "
    "help; so does a smaller threshold, which the command sets.",
    "few_photos": "Of so few photos no one can say which is wrong, and a person is found less often. The "
    "command adds more.",
    "poor_photos": "Today they would be refused without --accept-low-quality. The command removes one.",
}
_STRICTER = 0.1  # of the FPIR wanted so far


@dataclass(frozen=True)
class FindingsShown:
    """Holds the findings of one kind: their number, those that are shown, how many are not, and advice."""

    title: str
    found: int
    entries: tuple[Entry, ...]
    more: int
    advice: str


def doctor_page(
    report: DoctorReport, crop: CropOfTemplate | None = None, title: str = "Examination of a gallery"
) -> str:
    """Write the page of an examination.

    Args:
        report: the findings.
        crop: returns the face of a template, (height, width, 3) uint8 RGB, None if its photo cannot be shown;
            without it, there are no pictures.
        title: of the page.

    Returns:
        HTML.

    Raises:
        MissingPackageError: matplotlib or jinja2 is not installed.
    """
    templates, forecast = report.examined.templates, report.examined.forecast
    people, photos = len(templates.names), len(templates.labels)
    faces = _Faces(report, crop)
    plot = forecast and Plot(
        "Strangers named, by the number of people",
        forecast_plot(forecast),
        "At the same threshold, the more people are enrolled the more strangers are named. Calibrating again "
        "sets a threshold for the new number.",
    )
    return render(
        "doctor",
        title=title,
        sentence=f"{count(people, 'person', ',')}, {count(photos, 'photo', ',')}",
        notes=report.examined.notes,
        sections=[_shown(report, section, faces) for section in report.sections()],
        unseen=list(report.unseen()),
        forecast=plot,
        forecast_lines=list(_growing(report)),
    )


class _Faces:
    """Chooses the photos that show a finding, and crops them."""

    def __init__(self, report: DoctorReport, crop: CropOfTemplate | None) -> None:
        self._store, self._crop = report.store, crop
        self._templates = report.examined.templates
        self._stored: dict[int, StoredTemplate] = {}
        self._read: set[int] = set()

    def of(self, finding: Finding) -> tuple[Face, ...]:
        """Return the faces of a finding: the photo first that it is about."""
        if self._crop is None:
            return ()
        return tuple(self._face(row) for row in self._rows(finding))

    def _rows(self, finding: Finding) -> list[int]:
        if finding.row >= 0:
            others = [self._nearest(finding.row, label) for label in finding.people]
            return [finding.row, *(row for row in others if row >= 0)]
        if len(finding.people) == 2:
            return self._nearest_two(*(self._members(label) for label in finding.people))
        return [row for label in finding.people for row in self._members(label)[:_PHOTOS].tolist()]

    def _members(self, label: int) -> NDArray[np.intp]:
        return np.flatnonzero(self._templates.labels == label)

    def _nearest(self, row: int, label: int) -> int:
        """Return the photo of a person that is nearest to another photo, -1 if there is none."""
        rows = self._members(label)
        rows = rows[rows != row][:_COMPARED]
        if not len(rows):
            return -1
        vectors = self._templates.vectors
        return int(rows[squared_distances(vectors[[row]], vectors[rows])[0].argmin()])

    def _nearest_two(self, first: NDArray[np.intp], second: NDArray[np.intp]) -> list[int]:
        first, second = first[:_COMPARED], second[:_COMPARED]
        squared = squared_distances(self._templates.vectors[first], self._templates.vectors[second])
        one, other = np.unravel_index(squared.argmin(), squared.shape)
        return [int(first[one]), int(second[other])]

    def _face(self, row: int) -> Face:
        label, number = int(self._templates.labels[row]), int(self._templates.ids[row])
        name = self._templates.names[label]
        if label not in self._read:
            self._read.add(label)
            with suppress(UnknownIdentityError):  # removed since
                self._stored |= {template.id: template for template in self._store.stored(name)}
        template = self._stored.get(number)
        if template is None or self._crop is None:
            return face(None, name)
        return face(self._crop(template), name, file_name(template.photo))


def _shown(report: DoctorReport, section: Section, faces: _Faces) -> FindingsShown:
    shown = section.findings[:SHOWN]
    return FindingsShown(
        section.title,
        len(section.findings),
        tuple(Entry(one.text, faces.of(one), _fix(report, section.key, one)) for one in shown),
        len(section.findings) - len(shown),
        _ADVICE[section.key],
    )


def _fix(report: DoctorReport, key: str, finding: Finding) -> str | None:
    """Return the command that fixes a finding, or shows what to choose from."""
    if finding.command:
        return finding.command
    option = ["--gallery", report.gallery] if report.gallery else []
    names = [report.examined.templates.names[label] for label in finding.people]
    if key == "divided_people":
        return report.command("show", (names[0],))
    if key == "few_photos":
        return shell_words("embed", "enroll", *option, f"--name={names[0]}", operands=("more.jpg",))
    if key == "confused":
        fpir = report.examined.forecast.fpir[0] if report.examined.forecast else 0.01
        return shell_words("embed", "calibrate", *option, "--fpir", f"{_STRICTER * fpir:.1g}")
    return None


def _growing(report: DoctorReport) -> Iterator[str]:
    examined = report.examined
    if (forecast := examined.forecast) is None:
        return
    origin = "the gallery's own" if forecast.calibrated else "about what embed calibrate would give"
    steps = ", ".join(
        f"{in_percent(fpir)} among {count(people, 'person', ',')}"
        for people, fpir in zip(forecast.people, forecast.fpir, strict=True)
    )
    yield f"Strangers who are named, at most, at the threshold {forecast.threshold:.3f} ({origin}): {steps}."
    if forecast.warning:
        yield f"In doubt: {forecast.warning}"
    seen = int(examined.judged.kept.sum())
    yield f"Counted, within it of someone else: {examined.near:,} of {count(seen, 'photo', ',')}."
