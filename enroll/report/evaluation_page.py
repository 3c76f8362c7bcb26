"""Write an evaluation as a page."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from embedder._internal.outputs import Inputs
from enroll.embedding import enrolled_crop
from enroll.report.evaluation import EvaluationSummary, smallest_supported_fpir
from enroll.report.page import check_report, render, write_report
from enroll.report.people import confused, duplicates, failures, root_of, wrong_most
from enroll.report.plotted import plotted
from enroll.report.summary import WORDS, drawn, figure_rows, protocol, result
from enroll.report.svg import percent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from embedder.extractor import Extractor
    from enroll.evaluation.estimates import Estimate
    from enroll.evaluation.protocol import Evaluation
    from enroll.folder_embedding import EmbeddedFolder
    from enroll.report.people import CropOfRow

_PACKAGES = ("embedder-enroll", "numpy", "pillow", "ai-edge-litert", "jinja2", "matplotlib")


def save_report(
    path: str | Path,
    evaluation: Evaluation[EmbeddedFolder],
    outcome: EvaluationSummary,
    extractor: Extractor,
    inputs: Inputs | None = None,
    force: bool = False,
) -> None:
    """Write the report of an evaluation.

    Mistakes are those at the smallest FPIR that the searches support, as in the text.

    Args:
        path: of the file.
        evaluation: the searches.
        outcome: their figures.
        extractor: the model; it crops the faces from the photos again, for the pictures.
        inputs: files that are never replaced, as for `outputs.check_output`; None: the photos of the
            evaluation.
        force: replace a file that exists.

    Raises:
        UsageError: the file exists and `force` is not given, it is an input, or it cannot be written.
        MissingPackageError: matplotlib or jinja2 is not installed.
    """
    inputs = inputs or Inputs(evaluation.samples.paths)
    check_report(path, inputs, force)
    manifest = extractor.manifest
    facts = {
        "model": f"{manifest.trunk}, head {manifest.head}, crop {manifest.crop}",
        "fingerprint": extractor.fingerprint,
        "Python": platform.python_version(),
        **{name: version(name) for name in _PACKAGES},
    }
    fpir, split = smallest_supported_fpir(evaluation), evaluation.splits[0]
    known = len(split.known)
    photos = len(split.enrolled) / known
    text = to_html(
        evaluation,
        outcome.figures,
        facts,
        title=f"Evaluation of {root_of(evaluation.samples).name}",
        fpir=fpir,
        threshold=manifest.strangers.threshold(fpir, known, photos) if manifest.strangers else None,
        crop=lambda row: _crop(evaluation.samples, row, extractor),
    )
    write_report(path, text, inputs, force)


def to_html(
    evaluation: Evaluation[EmbeddedFolder],
    figures: Mapping[str, Estimate],
    facts: Mapping[str, str],
    *,
    title: str = "Evaluation",
    fpir: float = 0.01,
    threshold: float | None = None,
    crop: CropOfRow | None = None,
) -> str:
    """Write the page of an evaluation.

    Args:
        evaluation: the searches.
        figures: by the name before each, in this order.
        facts: versions, fingerprint of the model and the like, in this order; how splits were drawn follows.
        title: of the page.
        fpir: mistakes are counted at each split's threshold for it.
        threshold: the model's own; FPIR by gallery size is measured at it, or without one at the median
            of the splits' thresholds for `fpir`.
        crop: returns the picture of a row of the folder as (height, width, 3) uint8 RGB, or None if it cannot
            be read; without it, there are no pictures.

    Raises:
        MissingPackageError: matplotlib or jinja2 is not installed.
    """
    return render(
        "evaluation",
        title=title,
        protocol=protocol(evaluation),
        result=result(evaluation, fpir),
        figures=figure_rows(figures),
        words=WORDS.items(),
        plots=plotted(evaluation, fpir, threshold),
        failures=failures(evaluation.samples),
        fpir=percent(fpir),
        wrong=wrong_most(evaluation, fpir, crop),
        confused=confused(evaluation, fpir, crop),
        duplicates=duplicates(evaluation.samples),
        made=[*facts.items(), *drawn(evaluation)],
    )


def _crop(folder: EmbeddedFolder, row: int, extractor: Extractor) -> NDArray[np.uint8] | None:
    return enrolled_crop(extractor, folder.paths[row])
