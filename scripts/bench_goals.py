"""What docs/benchmarks.md aims at: the rows of its first table."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from bench_figures import (
    STALE,
    Figures,
    as_many_faces,
    bulk_times,
    flatness,
    helped,
    medians,
    more_ms,
    over_networks,
    overlap,
    passes,
    reduced,
    runs,
    scaled,
    searched,
    share,
    why_bulk,
    why_cold,
    why_help,
    why_import,
    why_large,
    why_memory,
    why_milvus,
    why_networks,
    why_open,
    why_opencv,
    why_scale,
    why_search,
)
from bench_scale import growth
from turns import ratio

JOBS = ("calibrate", "doctor", "evaluate")


def _nothing(figures: Figures) -> str:
    return ""


@dataclass(frozen=True)
class Target:
    """What a figure should be at most, or at least.

    Attributes:
        part: of `bench.py`.
        words: what is measured; of them those in braces are figures of the part.
        limit: the goal.
        measure: gives the figure, None if what it is compared with was not there.
        form: how it is written.
        least: whether the goal is at least, not at most.
        why: says why the goal was not reached, of the same figures.
    """

    part: str
    words: str
    limit: float
    measure: Callable[[Figures], float | None]
    form: str = "{:.2f}"
    least: bool = False
    why: Callable[[Figures], str] = _nothing

    def reached(self, value: float) -> bool:
        """Say whether a figure is as good as the goal."""
        return value >= self.limit if self.least else value <= self.limit


def _scale_targets(job: str) -> tuple[Target, ...]:
    why = why_scale(job)
    return (
        Target("scale", f"`{job}` of {{largest:,}} templates, s", 60, scaled(job, "s"), "{:.1f}", why=why),
        Target("scale", f"`{job}`: largest resident size, MB", 2000, scaled(job, "mb"), "{:.0f}", why=why),
        Target(
            "scale",
            f"`{job}`: slope of its time (2 is quadratic)",
            1.99,
            lambda f: growth(f["rows"], job),
            why=why,
        ),
    )


def _large_targets(megapixels: float, scale: int) -> tuple[Target, ...]:
    what = f"{megapixels:g} megapixels read at 1/{scale}"
    why = why_large(megapixels, scale)
    return (
        Target(
            "large",
            f"{what}: decoding, times as fast as whole",
            3,
            reduced(megapixels, scale, "decode_ms"),
            "{:.1f}",
            True,
            why,
        ),
        Target(
            "large",
            f"{what}: decoding and finding, times as fast",
            3,
            reduced(megapixels, scale, "ms"),
            "{:.1f}",
            True,
            why,
        ),
        Target(
            "large",
            f"{what}: faces from {20 * scale} pixels, share of those found whole",
            1,
            as_many_faces(megapixels, scale),
            "{:.3f}",
            True,
        ),
    )


TARGETS = (
    Target(
        "cold",
        "`embed identify`, {photos} enrolled, a fresh process, s",
        1.2,
        lambda f: statistics.median(runs(f, "embed identify", "wall")),
        why=why_cold,
    ),
    Target(
        "cold",
        "its largest resident size, MB",
        250,
        lambda f: statistics.median(runs(f, "embed identify", "peak_mb")),
        "{:.0f}",
        why=why_cold,
    ),
    Target(
        "cold",
        "its time over that of deepface (SFace, yunet)",
        0.1,
        lambda f: share(runs(f, "embed identify", "wall"), runs(f, "deepface", "wall")),
        "{:.3f}",
        why=why_cold,
    ),
    Target(
        "warm",
        "a photo from bytes to answer, {templates:,} templates, over OpenCV and numpy",
        0.6,
        lambda f: share(f["ms"]["ours"]["all"], f["ms"].get("OpenCV", {}).get("all", [])),
        why=why_opencv,
    ),
    Target("warm", "the same over its networks' own time", 1.25, over_networks, why=why_networks),
    Target(
        "bulk",
        "`embed identify`, 1 to 5 megapixels, photos/s over those of OpenCV in a process a core",
        1.6,
        bulk_times,
        least=True,
        why=why_bulk,
    ),
    Target(
        "bulk",
        "its largest resident size for {photos:,} photos over that for half of them",
        1.05,
        flatness,
        why=why_memory,
    ),
    Target(
        "bulk",
        "its stages one after the other over its time: above 1 they overlap",
        1,
        overlap,
        least=True,
        why=why_bulk,
    ),
    *_large_targets(12, 4),
    *_large_targets(50, 8),
    Target(
        "search",
        "exact search, {largest:,} templates: one query, passes over the memory",
        2.2,
        passes,
        why=why_search,
    ),
    Target("search", "64 queries together, ms each", 6, searched("exact", "together"), why=why_search),
    Target("search", "approximate: one query, ms", 1, searched("approximate", "one"), why=why_search),
    Target(
        "search",
        "its recall of the 10 nearest",
        0.99,
        searched("approximate", "recall"),
        "{:.4f}",
        least=True,
    ),
    Target(
        "search", "open a gallery of {largest:,} templates, s", 3, searched("exact", "open"), why=why_open
    ),
    Target(
        "mapped",
        "approximate, 10,000,000 in a mapped file: one query, ms",
        1,
        searched("approximate", "one"),
        why=why_search,
    ),
    Target(
        "mapped",
        "its recall of the 10 nearest, 10,000,000",
        0.99,
        searched("approximate", "recall"),
        "{:.4f}",
        least=True,
    ),
    *(target for job in JOBS for target in _scale_targets(job)),
    Target(
        "training",
        "an epoch of `embed train`, images/s over those of a bare `model.fit`",
        0.95,
        lambda f: ratio(f["images/s"]["embed train"], f["images/s"]["bare fit"]).median,
        least=True,
    ),
    Target(
        "folder",
        "`embed train` of {people} people with 10 photos each, to the saved model, s",
        90,
        lambda f: f["s"],
        "{:.0f}",
        why=lambda f: f"{f['cpu']:.0f} s of processors on {f['cores']} cores",
    ),
    Target(
        "help", "`embed --version`, s", 0.25, lambda f: medians(f["seconds"])["embed --version"], why=why_help
    ),
    Target("help", "`embed --help`, s", 0.25, lambda f: medians(f["seconds"])["embed --help"], why=why_help),
    Target(
        "help", "the slowest sub-command's `--help`, s", 0.4, lambda f: max(helped(f).values()), why=why_help
    ),
    Target(
        "milvus",
        "`embed gallery import` of {vectors:,} vectors into Milvus, vectors/s",
        10_000,
        lambda f: f["figures"]["import by the command, vectors a second"],
        "{:,.0f}",
        least=True,
        why=why_import,
    ),
    Target(
        "milvus",
        "identify with {vectors:,} templates on the server, ms more than with a file",
        15,
        more_ms,
        "{:.0f}",
        why=why_milvus,
    ),
    Target(
        "milvus",
        "the same with `?staleness=1`",
        15,
        partial(more_ms, server=STALE),
        "{:.0f}",
        why=why_milvus,
    ),
)
