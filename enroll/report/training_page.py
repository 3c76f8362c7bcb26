"""Write the record of a training run as a page: curves, gains and losses, options."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from embedder._internal.text import clean
from embedder.errors import ModelError
from enroll.report.page import Plot, render
from enroll.report.training_plots import MOST_CURVES, Curve, curve_plot

if TYPE_CHECKING:
    from embedder.model_folder import Manifest

_SHARES = {"accuracy": "accuracy, training", "tpir": "TPIR, held out", "rank1": "rank-1, held out"}
_SCORES = {"tpir": "TPIR, all searches", "rank1": "rank-1, all searches", "separation": "separation"}
_VIEWS = {
    "clean": "TPIR, clean photos",
    "degraded": "TPIR, degraded photos",
    "crossed": "TPIR, enrolled clean, searched degraded",
    "varied": "TPIR, tinted, turned, in other light or covered",
}
_LABEL = 30  # letters of the name of a loss
_LONGEST = 200  # characters of an option that are shown


@dataclass(frozen=True)
class Gain:
    """Holds a figure before training and after."""

    name: str
    before: str
    after: str
    gain: str


def training_page(manifest: Manifest, described: Sequence[str] = (), title: str = "Training") -> str:
    """Write the page of a training run.

    Args:
        manifest: of the model folder.
        described: sentences that say whether training helped.
        title: of the page.

    Returns:
        HTML.

    Raises:
        ModelError: the record of training is not one of ours.
        MissingPackageError: matplotlib or jinja2 is not installed.
    """
    record = manifest.training
    try:
        rows = _rows(record)
        columns = list(dict.fromkeys(name for row in rows for name in row))
        content = {
            "plots": _plots(rows, record),
            "columns": [name.replace("_", " ") for name in columns],
            "rows": [[_short(row.get(name)) for name in columns] for row in rows],
            "gains": list(_gains(record)),
            "options": [(str(name), _text(value)) for name, value in record.get("config", {}).items()],
            "made": _facts(manifest),
        }
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise ModelError(
            f"the manifest's record of training lacks or garbles {error!s:.200}; train again"
        ) from error
    return render("training", title=title, described=described, **content)


def _rows(record: Mapping[str, Any]) -> list[dict[str, float]]:
    """Join the log of each epoch with the score of the held-out people after it.

    Epoch 0 is the trunk.
    """
    history, scores = record.get("history", []), record["scores"]
    rows = [{"epoch": 0.0}] if scores else []
    rows += [{"epoch": float(epoch), **_numbers(log)} for epoch, log in enumerate(history, 1)]
    for row, score in zip(rows, scores, strict=False):
        row |= {name: float(score[name]) for name in _SCORES}
    return rows


def _numbers(log: Mapping[str, Any]) -> dict[str, float]:
    return {str(name): float(value) for name, value in log.items()}


def _plots(rows: Sequence[Mapping[str, float]], record: Mapping[str, Any]) -> list[Plot]:
    if len(rows) < 2:
        return []
    names = dict.fromkeys(name for row in rows for name in row)
    marks = {f"kept: epoch {kept}": float(kept)} if (kept := int(record["kept_epoch"])) else {}
    every = sorted((name for name in names if name.endswith("loss")), key=lambda name: name != "loss")
    losses = [_curve(rows, name, _label(name)) for name in every[:MOST_CURVES]]
    shares = [_curve(rows, name, label) for name, label in _SHARES.items()]
    plots = [
        Plot(
            "Losses",
            curve_plot("losses", [curve for curve in losses if curve.epochs], marks, logarithmic=True),
            "What training makes smaller, on the photos that it learns from; loss is the sum that counts.",
        ),
        Plot(
            "Shares",
            curve_plot("shares", [curve for curve in shares if curve.epochs], marks),
            "Accuracy is of the photos that are learned from. The others are of people held out, epoch 0 "
            "before training: only these say whether it helps.",
        ),
    ]
    separation = _curve(rows, "separation", "separation, held out")
    if separation.epochs:
        text = (
            "How much farther the nearest other person is than the own one: ln(other / own), on average. "
            "It decides between epochs of about the same TPIR."
        )
        plots.append(Plot("Separation", curve_plot("separation", [separation], marks), text))
    return plots


def _label(name: str) -> str:
    """Return what a loss is called in a legend."""
    return clean(name.replace("_", " "))[:_LABEL]


def _curve(rows: Sequence[Mapping[str, float]], name: str, label: str) -> Curve:
    points = [(row["epoch"], row[name]) for row in rows if math.isfinite(row.get(name, math.nan))]
    return Curve(label, tuple(epoch for epoch, _ in points), tuple(value for _, value in points))


def _gains(record: Mapping[str, Any]) -> Iterator[Gain]:
    if scores := record["scores"]:
        before, after = scores[0], scores[int(record["best_epoch"])]
        for name, shown in _SCORES.items():
            yield _gain(shown, before[name], after[name])
    if views := record.get("views"):
        before, after = views
        for name, shown in _VIEWS.items():
            yield _gain(shown, before["tpir"][name], after["tpir"][name])


def _gain(name: str, before: Any, after: Any) -> Gain:
    gain = float(after) - float(before)
    return Gain(name, f"{before:.3f}", f"{after:.3f}", f"{gain:+z.3f}".replace("-", "−"))


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    text = ", ".join(map(str, value)) or "none" if isinstance(value, list | tuple) else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"


def _facts(manifest: Manifest) -> list[tuple[str, str]]:
    record = manifest.training
    facts = [
        ("trunk", manifest.trunk),
        ("head", manifest.head),
        ("pictures", f"{manifest.input_size} x {manifest.input_size} pixels, crop {manifest.crop}"),
        ("vectors", f"of {manifest.dim} numbers"),
        ("weights", manifest.weights_as),
        ("fingerprint", manifest.fingerprint),
    ]
    counts = ("people", "photos", "held_out_people", "backend", "processes")
    facts += [(name.replace("_", " "), _text(record[name])) for name in counts if name in record]
    return facts + [(str(name), _text(value)) for name, value in record.get("versions", {}).items()]
