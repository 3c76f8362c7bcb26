"""What a run leaves beside its model for people: `training.csv`, `training.png`, `train.toml`."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedder.config import TrainConfig
from embedder.durable import write_whole
from embedder.options import to_toml

if TYPE_CHECKING:
    from embedder.training.held_out import Score

CONFIG, TABLE, CURVES = "train.toml", "training.csv", "training.png"
_SCORE = ("tpir", "rank1", "separation")


def table(history: Sequence[Mapping[str, float]], scores: Sequence[Score]) -> list[dict[str, float]]:
    """Join the log of each epoch with the score of the held-out people after it.

    Args:
        history: logs by epoch, from 1.
        scores: by epoch, from 0, the trunk before training; empty if no one was held out.

    Returns:
        One row an epoch; `epoch` first, and epoch 0 only if there are scores.
    """
    rows = [{"epoch": 0.0}] if scores else []
    rows += [{"epoch": float(epoch), **log} for epoch, log in enumerate(history, 1)]
    for row, score in zip(rows, scores, strict=False):
        row |= {name: getattr(score, name) for name in _SCORE}
    return rows


def write_record(folder: Path, config: TrainConfig, rows: Sequence[Mapping[str, float]], fpir: float) -> bool:
    """Write the three files.

    Args:
        folder: the model folder.
        config: resolved; `embed train --config train.toml` makes the same run.
        rows: see `table`.
        fpir: at which TPIR was measured.

    Returns:
        Whether the curves were drawn; without matplotlib, or epochs, they are not.

    Raises:
        OSError: a file cannot be written.
    """
    write_whole(folder / CONFIG, to_toml(config).encode())
    write_table(folder, rows)
    if len(rows) < 2 or (picture := _draw(rows, fpir)) is None:
        (folder / CURVES).unlink(missing_ok=True)  # that of another run
        return False
    write_whole(folder / CURVES, picture)
    return True


def write_table(folder: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Write the log as CSV, a column a number; what an epoch lacks is left empty.

    Raises:
        OSError: it cannot be written.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, "epoch": int(row["epoch"])} for row in rows)
    write_whole(folder / TABLE, text.getvalue().encode())


def _draw(rows: Sequence[Mapping[str, float]], fpir: float) -> bytes | None:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return None
    losses = [name for name in rows[-1] if name == "loss" or name.endswith("_loss")]
    shares = {"accuracy": "accuracy, training", "tpir": f"TPIR at FPIR {fpir:g}, held out"} | {
        "rank1": "rank-1, held out"
    }
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name in losses:
        _line(left, rows, name, name.replace("_", " "))
    left.set(title="Losses", xlabel="epoch", yscale="log")
    for name, label in shares.items():
        _line(right, rows, name, label)
    right.set(title="Shares", xlabel="epoch", ylim=(0, 1.02))
    for axes in (left, right):
        if axes.lines:
            axes.legend(frameon=False)
        axes.grid(alpha=0.25)
        axes.xaxis.get_major_locator().set_params(integer=True)
    picture = io.BytesIO()
    FigureCanvasAgg(figure).print_png(picture)
    return picture.getvalue()


def _line(axes: Any, rows: Sequence[Mapping[str, float]], name: str, label: str) -> None:
    points = [(row["epoch"], row[name]) for row in rows if name in row]
    if points:
        axes.plot(*zip(*points, strict=True), label=label, marker="." if len(points) < 40 else None)
