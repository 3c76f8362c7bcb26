"""Summarize an evaluation in sentences and a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedder._internal.wording import count
from enroll.report.svg import percent

if TYPE_CHECKING:
    from enroll.evaluation.estimates import Estimate
    from enroll.evaluation.protocol import Evaluation
    from enroll.evaluation.samples import EmbeddedSamples

WORDS = {
    "mated search": "a photo of someone who is enrolled is searched for; non-mated: of a stranger.",
    "FPIR": "share of non-mated searches that are answered with a name.",
    "TPIR": "share of mated searches that are answered with the right name; FNIR = 1 − TPIR.",
    "as calibrated": "at the threshold that embed calibrate sets for an FPIR of 1 %, from what is enrolled.",
    "rank-k": "share of mated searches with the right person among the k nearest, whatever the distance.",
    "95 % interval": "what other people might have given, from drawing people with replacement.",
}


def protocol(evaluation: Evaluation[EmbeddedSamples]) -> str:
    """Describe in a sentence what was done."""
    folder, splits = evaluation.samples, evaluation.splits
    known, people = len(splits[0].known), len(folder.identities)
    each = [
        photos
        for split in splits
        for photos in np.unique(folder.labels[split.enrolled], return_counts=True)[1].tolist()
    ]
    mated, non_mated = (split.mated_total for split in splits), (split.non_mated_total for split in splits)
    times = f"In each of {count(len(splits), 'random division', ',')} of" if len(splits) > 1 else "Of"
    return (
        f"{times} {count(people, 'person', ',')}, enrolled: {count(known, 'person', ',')} with "
        f"{_photos(each)} each. Searched for: their other {_photos(mated)}, and all {_photos(non_mated)} of "
        f"{count(people - known, 'stranger', ',')}{f'; {evaluation.drawn}' if evaluation.drawn else ''}."
    )


def _photos(numbers: Iterable[int]) -> str:
    every = sorted(numbers)
    most = count(every[-1], "photo", ",")
    return most if every[0] == every[-1] else f"{every[0]:,} to {most}"


def result(evaluation: Evaluation[EmbeddedSamples], fpir: float) -> str:
    """Describe in two sentences the results at an FPIR."""
    tpir, first = evaluation.tpir(fpir), evaluation.rank(1)
    right = _describe(first, "95 % interval ")
    nearest = f"In {right} of the searches for enrolled people, the nearest person is the right one."
    if tpir.value is None:
        return f"{nearest} To say more, at a threshold for FPIR {percent(fpir)}, needs {tpir.needed}."
    return (
        f"{nearest} At a threshold that gives at most {percent(fpir)} of the strangers a name, "
        f"{_describe(tpir)} of these searches are answered with the right name."
    )


def _describe(figure: Estimate, what: str = "") -> str:
    assert figure.value is not None
    if figure.low is None or figure.high is None:
        return f"{100 * figure.value:.1f} %"
    return f"{100 * figure.value:.1f} % ({what}{100 * figure.low:.1f} to {100 * figure.high:.1f})"


@dataclass(frozen=True)
class FigureRow:
    """Holds a figure as text.

    Attributes:
        name: of the figure.
        value: as text, or that it is not supported.
        interval: of 95 %, or what the figure needs.
        whisker: places of low, value and high on a line from 4 to 124 for 0 to 1, None if they lie elsewhere.
    """

    name: str
    value: str
    interval: str
    whisker: tuple[str, str, str] | None = None


def figure_rows(figures: Mapping[str, Estimate]) -> list[FigureRow]:
    """List figures with their intervals, or what they would need."""
    rows = []
    for name, figure in figures.items():
        if figure.value is None:
            rows.append(FigureRow(name, "not supported", f"needs {figure.needed}"))
        else:
            between = "" if figure.low is None else f"{figure.low:.3f} to {figure.high:.3f}"
            rows.append(FigureRow(name, f"{figure.value:.3f}", between, _whisker(figure)))
    return rows


def _whisker(figure: Estimate) -> tuple[str, str, str] | None:
    low, value, high = figure.low, figure.value, figure.high
    if low is None or value is None or high is None or not 0 <= low <= value <= high <= 1:
        return None
    return f"{4 + 120 * low:.1f}", f"{4 + 120 * value:.1f}", f"{4 + 120 * high:.1f}"


def drawn(evaluation: Evaluation[EmbeddedSamples]) -> list[tuple[str, str]]:
    """List the options and seeds that repeat the evaluation."""
    config = evaluation.config
    enrolled = (
        "half of a person's photos"
        if config.enrolled is None
        else f"{count(config.enrolled, 'photo')} a person"
    )
    return [
        ("splits", f"{config.splits:,}"),
        ("enrolled", f"{percent(config.known)} of the people, {enrolled}"),
        ("intervals", f"{count(config.replicates, 'bootstrap replicate', ',')} over people"),
        ("seed", f"{config.seed}"),
    ]
