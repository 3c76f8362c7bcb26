"""Figures that docs/benchmarks.md compares with its goals, of what the parts printed, and why they are so."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from bench_scale import growth
from turns import ratio

Figures = dict[str, Any]  # of one part; what its script printed, and the date
STALE = "server, ?staleness=1"  # as bench_milvus calls it
STAGES = ("decode", "find", "align", "embed", "search", "decide", "print")


def runs(figures: Figures, command: str, what: str) -> list[float]:
    """Figures of a command, turn by turn; none if it was not run."""
    return [run[what] for run in figures["runs"].get(command, [])]


def medians(stages: dict[str, Sequence[float]]) -> dict[str, float]:
    """Median of each stage."""
    return {name: statistics.median(values) for name, values in stages.items()}


def share(mine: Sequence[float], theirs: Sequence[float]) -> float | None:
    """Ours over theirs, turn by turn; None without theirs."""
    return ratio(mine, theirs).median if theirs else None


def over_networks(figures: Figures) -> float:
    """A photo over the networks' own time in it."""
    ours = figures["ms"]["ours"]
    return ratio(ours["all"], ours["networks"]).median


def rate(run: Figures) -> float:
    """Photos a second."""
    return float(run["photos"] / run["wall"])


def bulk_times(figures: Figures) -> float | None:
    """Ours over theirs, of the same photos."""
    theirs = figures["runs"].get("OpenCV")
    return rate(figures["runs"]["embed identify, half"]) / rate(theirs) if theirs else None


def flatness(figures: Figures) -> float:
    """Memory for all photos over that for half of them."""
    whole, half = (figures["runs"][name] for name in ("embed identify", "embed identify, half"))
    return float(whole["peak_mb"] / half["peak_mb"])


def overlap(figures: Figures) -> float:
    """Seconds of the stages one after the other over those of the command."""
    run = figures["runs"]["embed identify"]
    return float(sum(figures["stages_ms"].values()) / 1000 * run["photos"] / run["wall"])


def reduced(megapixels: float, scale: int, what: str) -> Callable[[Figures], float | None]:
    """How many times as fast a photo is read at 1/scale; None if it was not."""

    def measure(figures: Figures) -> float | None:
        found = _large(figures, megapixels, scale)
        return ratio(found["whole"][what], found[f"at 1/{scale}"][what]).median if found else None

    return measure


def as_many_faces(megapixels: float, scale: int) -> Callable[[Figures], float | None]:
    """Faces found in photos that are read at 1/scale over those found in them whole."""

    def measure(figures: Figures) -> float | None:
        found = _large(figures, megapixels, scale)
        return found[f"at 1/{scale}"]["found"] / max(found["whole"]["found"], 1) if found else None

    return measure


def _large(figures: Figures, megapixels: float, scale: int) -> dict[str, Figures]:
    return {
        row["read"]: row
        for row in figures["rows"]
        if (row["megapixels"], row["scale"]) == (megapixels, scale)
    }


def searched(index: str, what: str) -> Callable[[Figures], float | None]:
    """Give a figure of an index at the largest size, None if it was not measured."""

    def measure(figures: Figures) -> float | None:
        largest = max(row["templates"] for row in figures["rows"])
        found = [row for row in figures["rows"] if (row["templates"], row["index"]) == (largest, index)]
        value = found[0].get(what) if found else None
        return None if value is None else float(value)

    return measure


def passes(figures: Figures) -> float | None:
    """How often all vectors could be read in the time of one query."""
    query = searched("exact", "one")(figures)
    return None if query is None else query / one_pass(figures)


def one_pass(figures: Figures) -> float:
    """Milliseconds to read the vectors once, the quicker way."""
    passed = figures["one_pass_ms"][str(max(row["templates"] for row in figures["rows"]))]
    return float(min(passed["sum"], passed["product"]))


def scaled(job: str, what: str) -> Callable[[Figures], float | None]:
    """Give what a job took at the largest size, None if it was not tried there."""

    def measure(figures: Figures) -> float | None:
        largest = max(figures["sizes"])
        found = [row for row in figures["rows"] if (row["templates"], row["job"]) == (largest, job)]
        return float(found[0][what]) if found else None

    return measure


def helped(figures: Figures) -> dict[str, float]:
    """Median seconds of each sub-command's help."""
    shared = ("embed --help", "embed --version")
    seconds = medians(figures["seconds"])
    return {name: s for name, s in seconds.items() if name.startswith("embed ") and name not in shared}


def more_ms(figures: Figures, server: str = "server") -> float:
    """What the server takes more than a file, ms."""
    return 1000 * float(figures["figures"][f"identify with the {server}, s more"])


def why_networks(figures: Figures) -> str:
    """Say which stages take the time besides the networks."""
    ours, limits = medians(figures["ms"]["ours"]), medians(figures["limits"]["ours"])
    beside = {stage: ours[stage] - limits[stage] * (stage in ("find", "embed")) for stage in STAGES}
    most = sorted(beside, key=lambda stage: -beside[stage])[:3]
    said = ", ".join(f"{stage} {beside[stage]:.1f}" for stage in most)
    return f"besides the networks, which take {ours['networks']:.1f} ms, most goes to {said} ms"


def why_opencv(figures: Figures) -> str:
    """Say where OpenCV takes less."""
    ours, theirs = medians(figures["ms"]["ours"]), medians(figures["ms"]["OpenCV"])
    said = ", ".join(
        f"{stage} {ours[stage]:.1f} and {theirs[stage]:.1f}" for stage in ("decode", "find", "embed")
    )
    return f"ours and theirs in ms: {said}"


def why_cold(figures: Figures) -> str:
    """Say what is imported."""
    ms = sorted(figures["imports"]["ms"].items(), key=lambda entry: -entry[1])[:3]
    said = ", ".join(f"{name} {spent:.0f}" for name, spent in ms)
    return f"imports take most: {said} ms, while each is timed"


def why_bulk(figures: Figures) -> str:
    """Say what bounds bulk."""
    stages = ", ".join(f"{stage} {ms:.1f}" for stage, ms in figures["stages_ms"].items())
    return f"with both cores at work the stages alone take, in ms a photo: {stages}"


def why_memory(figures: Figures) -> str:
    """Say both sizes."""
    whole, half = (figures["runs"][name]["peak_mb"] for name in ("embed identify", "embed identify, half"))
    return f"{half:.0f} MB for half of the photos, {whole:.0f} for all"


def why_large(megapixels: float, scale: int) -> Callable[[Figures], str]:
    """Say what a reduced photo still takes."""

    def why(figures: Figures) -> str:
        found = _large(figures, megapixels, scale)
        parts = []
        for read in ("whole", f"at 1/{scale}"):
            decode, whole = (statistics.median(found[read][what]) for what in ("decode_ms", "ms"))
            parts.append(f"{read}: decoding {decode:.0f}, finding {whole - decode:.0f} ms")
        return "; ".join(parts)

    return why


def why_search(figures: Figures) -> str:
    """Say what the quickest others take."""
    said = [
        f"{name} {one:.1f} and {together:.2f}"
        for name in ("exact", "faiss flat", "scikit-learn", "approximate", "faiss HNSW", "usearch")
        if (one := searched(name, "one")(figures)) is not None
        and (together := searched(name, "together")(figures)) is not None
    ]
    return f"one pass takes {one_pass(figures):.1f} ms; a query alone and each of 64, ms: {', '.join(said)}"


def why_open(figures: Figures) -> str:
    """Say what reading the bytes alone takes."""
    passed = figures["one_pass_ms"][str(max(row["templates"] for row in figures["rows"]))]["file"]
    return f"its bytes alone are read in {passed / 1000:.2f} s; the rest is SQLite's and checks of every row"


def why_scale(job: str) -> Callable[[Figures], str]:
    """Say how a job grows, or that it was ended."""

    def why(figures: Figures) -> str:
        own = [row for row in figures["rows"] if row["job"] == job]
        said = ", ".join(
            f"{row['templates']:,}: {'more than ' * row['ended']}{row['s']:.0f} s, {row['mb']:.0f} MB"
            for row in own
        )
        slope = growth(figures["rows"], job)
        return said + (f"; the slope is {slope:.2f}" if slope is not None else "")

    return why


def why_help(figures: Figures) -> str:
    """Say what Python itself takes."""
    seconds = medians(figures["seconds"])
    slowest = max(helped(figures).items(), key=lambda entry: entry[1])
    bare, typer = seconds["python"], seconds["python, typer and rich"]
    return f"Python alone takes {bare:.2f} s, with typer and rich {typer:.2f}; slowest is `{slowest[0]}`"


def why_import(figures: Figures) -> str:
    """Say what the command took, and where."""
    took = figures["figures"]["import by the command, s"]
    return f"the whole command took {took:.0f} s, on cores that it shared with the server"


def why_milvus(figures: Figures) -> str:
    """Say what both took."""
    own = figures["figures"]
    near, far, stale = (1000 * own[f"identify with the {name}"] for name in ("file", "server", STALE))
    tick = figures["tick"]
    return (
        f"{near:.0f} ms with a file, {far:.0f} with the server, whose time tick, waited for, is {tick} ms, "
        f"{stale:.0f} without that wait (`?staleness=1`)"
    )
