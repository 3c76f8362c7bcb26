"""Write a calibration as a page: its threshold, the distances behind it, what was set aside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from embedder._internal.wording import count
from embedder.metrics import trials_needed
from embedder.strangers import people_in_sets
from enroll.gallery.threshold import contradiction, describe
from enroll.report.gallery_plots import comparison_plot, counted_plot
from enroll.report.page import Entry, Plot, face, file_name, render
from enroll.report.svg import percent

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from enroll.comparisons import Comparisons
    from enroll.gallery.set_aside import SetAside
    from enroll.gallery.threshold import CalibrationRecord

    CropOfPhoto = Callable[[str, str], NDArray[np.uint8] | None]

PAIRS = 50  # of people set aside that are shown


def calibration_page(
    record: CalibrationRecord,
    comparisons: Comparisons,
    aside: Sequence[SetAside] = (),
    crop: CropOfPhoto | None = None,
    title: str = "Calibration",
) -> str:
    """Write the page of a calibration.

    Args:
        record: the calibration.
        comparisons: the distances it rests on.
        aside: people whose photos were set aside.
        crop: returns the face of a person's photo by their name and the photo's path, (height, width, 3)
            uint8 RGB, None if it cannot be shown; without it, there are no pictures.
        title: of the page.

    Returns:
        HTML.

    Raises:
        MissingPackageError: matplotlib or jinja2 is not installed.
    """
    return render(
        "calibration",
        title=title,
        sentence=f"Threshold {record.calibration.distance:.3f}: {describe(record)}.",
        doubt=contradiction(record.calibration),
        plots=_plots(record, comparisons),
        counted=_counted(record, comparisons),
        aside=[_entry(pair, crop) for pair in aside[:PAIRS]],
        aside_text=_aside_text(len(aside)),
        made=_facts(record),
    )


def _plots(record: CalibrationRecord, comparisons: Comparisons) -> list[Plot]:
    calibration = record.calibration
    known = (
        " Dashed: what is known of this network's distances between strangers."
        if comparisons.known is not None
        else ""
    )
    return [
        Plot(
            "How near strangers are",
            comparison_plot(comparisons, calibration.distance),
            "Each comparison is of a photo with one person who is not in it; what is left of the threshold "
            f"would be given a wrong name.{known}",
        ),
        Plot(
            "Strangers named, by threshold",
            counted_plot(comparisons, calibration.distance, calibration.target_fpir, calibration.identities),
            "The line counts searches that name someone; where it is below the dotted level, few are. The "
            "threshold is where the model is sure of that, not where the count happens to be.",
        ),
    ]


def _counted(record: CalibrationRecord, comparisons: Comparisons) -> list[str]:
    """List what the searches show without a model."""
    calibration = record.calibration
    if not calibration.searches:
        return ["Nothing: there is no one to compare with anyone, so there is no search to count."]
    searches, wanted = calibration.searches, percent(calibration.target_fpir)
    at_threshold = (
        f"At this threshold {calibration.named:,} of {count(searches, 'search', ',')} for "
        f"{count(calibration.strangers, 'stranger', ',')} named someone. That alone shows that at most "
        f"{float(f'{100 * calibration.counted_bound:.2g}'):g} % of strangers are named."
    )
    needed = trials_needed(calibration.target_fpir)
    few = (
        f" It takes {count(needed, 'search', ',')} to show {wanted} by counting; there are {searches:,}."
        if searches < needed
        else ""
    )
    alone = f"Counting alone would set the threshold at {comparisons.counted_threshold:.3f}.{few}"
    return [at_threshold, alone]


def _aside_text(pairs: int) -> str:
    most = f"; the nearest {PAIRS} are shown, {pairs - PAIRS:,} are not" if pairs > PAIRS else ""
    return (
        f"{count(pairs, 'pair', ',')} of people who are nearer to each other than strangers are. Where one "
        f"photo is odd, that photo was left out; else these two were not compared{most}."
    )


def _entry(pair: SetAside, crop: CropOfPhoto | None) -> Entry:
    nearest = pair.photos[0]
    both = ((pair.first, nearest.photo), (pair.second, nearest.like)) if crop else ()
    faces = tuple(face(crop(name, photo), name, file_name(photo)) for name, photo in both) if crop else ()
    return Entry(pair.describe(), faces)


def _facts(record: CalibrationRecord) -> list[tuple[str, str]]:
    made = record.calibration
    known = people_in_sets(made.known_people, made.known_sets) if made.known_people else "nothing"
    return [
        ("people", f"{made.identities:,}"),
        ("photos", f"{made.templates:,}"),
        ("wanted FPIR", percent(made.target_fpir)),
        ("confidence", percent(made.confidence)),
        ("comparisons", f"{made.comparisons:,}"),
        ("searches", f"{made.searches:,}, for {count(made.strangers, 'person', ',')}"),
        ("pairs set aside", f"{made.set_aside:,}"),
        ("known of the network", known),
        ("agreement with that", f"{made.agreement:.2g}"),
        ("model", record.fingerprint),
        ("date", record.date),
    ]
