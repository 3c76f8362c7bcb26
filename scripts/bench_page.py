"""docs/benchmarks.md from the figures of `bench.py`: goals, tables, versions and machines."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import bench_index
from bench_figures import STAGES, Figures, helped, medians, rate, runs
from bench_goals import TARGETS
from bench_scale import growth
from turns import ratio

OWN = ("ours", "embed")


@dataclass(frozen=True)
class Section:
    """A part on the page."""

    title: str
    text: str
    write: Callable[[Figures], Iterable[str]]


def page(parts: dict[str, Figures]) -> str:
    """Give the page, of the parts that were measured."""
    sections = [HEAD, "## What was aimed at", targets_table(parts), *not_reached(parts)]
    for part, section in SECTIONS.items():
        if part in parts:
            sections += [f"## {section.title}", section.text]
            sections += [*section.write(parts[part]), surroundings_line(parts[part])]
        else:
            sections += [f"## {section.title}", section.text, "Not measured yet."]
    return "\n\n".join(sections) + "\n"


def targets_table(parts: dict[str, Figures]) -> str:
    """What was aimed at and what was reached."""
    rows = []
    for target in TARGETS:
        measured = target.part in parts
        value = target.measure(parts[target.part]) if measured else None
        said = "not measured" if value is None else target.form.format(value)
        verdict = "" if value is None else "yes" if target.reached(value) else "**no**"
        wanted = f"{'≥' if target.least else '≤'} {target.limit:g}"
        words = target.words.format(**parts[target.part]) if measured else _without_figures(target.words)
        rows.append([words, wanted, said, verdict])
    return table(["", "goal", "measured", "reached"], rows)


def not_reached(parts: dict[str, Figures]) -> Iterable[str]:
    """Say of each goal that was not reached why, as a list."""
    lines = []
    for target in TARGETS:
        if target.part not in parts:
            continue
        value = target.measure(parts[target.part])
        if value is not None and not target.reached(value):
            words = target.words.format(**parts[target.part])
            why = target.why(parts[target.part]) or "see the section below"
            lines.append(f"- {words}: {target.form.format(value)}; {why}.")
    if lines:
        yield "Why not:"
        yield "\n".join(lines)


def _without_figures(words: str) -> str:
    """Leave out the figures of a part that was not measured."""
    for name in ("{photos:,} ", "{photos} ", "{templates:,} ", "{vectors:,} ", "{largest:,} ", "{people} "):
        words = words.replace(name, "")
    return words


def cold_section(figures: Figures) -> Iterable[str]:
    """Wall time and memory of the commands, and what is imported."""
    ours = runs(figures, "embed identify", "wall")
    rows = []
    for name in figures["runs"]:
        walls = runs(figures, name, "wall")
        peak = statistics.median(runs(figures, name, "peak_mb"))
        times = "" if name.startswith(OWN) else times_ours(walls, ours)
        rows.append([name, f"{statistics.median(walls):.2f}", f"{peak:.0f}", times])
    yield table(["command", "s", "largest resident size, MB", "times ours"], rows)
    yield from missing(figures)
    spent = ", ".join(f"{name} {ms:.0f} ms" for name, ms in figures["imports"]["ms"].items())
    yield f"`embed identify` imports {figures['imports']['modules']} modules; of the large packages: {spent}."


def warm_section(figures: Figures) -> Iterable[str]:
    """Medians of the stages, and what bounds each."""
    ours, photos = figures["ms"]["ours"], len(figures["ms"]["ours"]["all"])
    yield f"{figures['templates']:,} templates, {photos} photos; ours named {figures['right']} of them right."
    rows = []
    for name, stages in figures["ms"].items():
        times = "" if name == "ours" else times_ours(stages["all"], ours["all"])
        found = f"{figures['found'][name]} of {photos}"
        rows.append([name, f"{statistics.median(stages['all']):.2f}", found, times])
    yield table(["", "ms", "faces found", "times ours"], rows)
    yield from missing(figures)
    yield "Where a warm photo's time goes, ms, and the physical limit of each stage on this machine:"
    measured, limits = medians(ours), medians(figures["limits"]["ours"])
    theirs = medians(figures["ms"].get("OpenCV", {}))
    rows = [
        [
            stage,
            f"{measured[stage]:.2f}",
            f"{limits[stage]:.2f}" if limits[stage] else "–",
            LIMITS[stage],
            f"{theirs[stage]:.2f}" if stage in theirs else "–",
        ]
        for stage in STAGES
    ]
    yield table(["stage", "ours", "limit", "which is", "OpenCV"], rows)


def bulk_section(figures: Figures) -> Iterable[str]:
    """Photos per second, and what the stages take."""
    rows = []
    for name, run in figures["runs"].items():
        answered = f"{run['answered']:,}" if "answered" in run else ""
        peak = f"{run['peak_mb']:.0f}" + ("" if name.startswith(OWN) else " (each process)")
        rows.append([name, f"{run['photos']:,}", f"{rate(run):.1f}", peak, answered])
    yield table(["command", "photos", "photos/s", "largest resident size, MB", "with a face"], rows)
    yield from missing(figures)
    said = ", ".join(f"{stage} {ms:.1f}" for stage, ms in figures["stages_ms"].items())
    yield f"Each stage alone, all cores at work, ms a photo: {said}."


def large_section(figures: Figures) -> Iterable[str]:
    """Times of photos that are read whole and reduced, and faces found."""
    rows = []
    for row in figures["rows"]:
        decode, whole = (f"{statistics.median(row[what]):.0f}" for what in ("decode_ms", "ms"))
        size, least = f"{row['megapixels']:g}", f"{row['from']}"
        rows.append([size, row["read"], least, decode, whole, f"{row['found']} of {row['faces']}"])
    head = ["megapixels", "read", "faces from, pixels", "decode, ms", "decode and find, ms", "faces found"]
    yield table(head, rows)


def search_section(figures: Figures) -> Iterable[str]:
    """The table of bench_index, and passes over the memory."""
    head = ["templates", "index", *bench_index.COLUMNS.values()]
    rows = [bench_index.table_row(row).strip("| ").split(" | ") for row in figures["rows"]]
    yield table(head, rows)
    for size, passed in figures["one_pass_ms"].items():
        said = ", ".join(f"{name} {ms:.1f} ms" for name, ms in passed.items())
        yield f"One pass over {int(size):,}: {said}."


def scale_section(figures: Figures) -> Iterable[str]:
    """Seconds and memory by size, and how the time grows."""
    rows = []
    for job in dict.fromkeys(row["job"] for row in figures["rows"]):
        own = {row["templates"]: row for row in figures["rows"] if row["job"] == job}
        slope = growth(figures["rows"], job)
        cells = [_scaled(own.get(size), figures["limit"]) for size in figures["sizes"]]
        rows.append([job, *cells, "–" if slope is None else f"{slope:.2f}"])
    yield table(["", *(f"{size:,} templates" for size in figures["sizes"]), "slope"], rows)


def _scaled(row: Figures | None, limit: float) -> str:
    if row is None:
        return "not tried"
    return f"{f'> {limit:g}' if row['ended'] else format(row['s'], '.1f')} s, {row['mb']:.0f} MB"


def training_section(figures: Figures) -> Iterable[str]:
    """Both rates and their ratio."""
    rates = figures["images/s"]
    compared = ratio(rates["embed train"], rates["bare fit"])
    rows = [[name, f"{statistics.median(values):.1f}"] for name, values in rates.items()]
    said = f"{compared.median:.3f} ({compared.lowest:.3f} to {compared.highest:.3f})"
    yield table(["", "images/s"], [*rows, ["ratio", said]])


def folder_section(figures: Figures) -> Iterable[str]:
    """The seconds."""
    yield (
        f"{figures['people']} people, {figures['photos']} photos: {figures['s']:.0f} s, "
        f"{figures['cpu']:.0f} s of processors, {figures['mb']:.0f} MB at most."
    )


def help_section(figures: Figures) -> Iterable[str]:
    """The calls that everyone makes, and the slowest of the others."""
    seconds = medians(figures["seconds"])
    others = sorted(helped(figures).items(), key=lambda entry: -entry[1])
    shown = [(name, s) for name, s in seconds.items() if name not in dict(others)]
    yield table(["", "s"], [[name, f"{s:.3f}"] for name, s in [*shown, *others[:SHOWN]]])
    yield f"The other {len(others) - min(SHOWN, len(others))} sub-commands' help is quicker."


def milvus_section(figures: Figures) -> Iterable[str]:
    """All figures of bench_milvus."""
    yield table(["", ""], [[name, f"{value:,.4g}"] for name, value in figures["figures"].items()])


def times_ours(theirs: Sequence[float], ours: Sequence[float]) -> str:
    """How many times as long theirs took."""
    found = ratio(theirs, ours)
    return f"{found.median:.1f} ({found.lowest:.1f} to {found.highest:.1f})"


def missing(figures: Figures) -> Iterable[str]:
    """Say which rivals were not there."""
    for note in figures["rivals"].values():
        if isinstance(note, str):
            yield f"Left out: {note}."


def surroundings_line(figures: Figures) -> str:
    """When, where and with what a part was measured."""
    versions = dict(figures["versions"]) | figures.get("indexes", {}) | figures.get("engine", {})
    for name, facts in figures.get("rivals", {}).items():
        if isinstance(facts, dict):
            versions[f"{name}:"] = ", ".join(f"{package} {value}" for package, value in facts.items())
    said = "; ".join(f"{name} {value}" for name, value in versions.items() if value)
    return f"{figures['date']}, {figures['machine']}, seed {figures['seed']}. {said}."


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


SHOWN = 5  # of the slowest sub-commands
LIMITS: dict[str, Any] = {
    "decode": "libjpeg's decoding, by Pillow",
    "find": "the detector's runs alone",
    "align": "cutting a crop twice, by Pillow",
    "embed": "the network's run alone",
    "search": "a pass over the vectors' memory",
    "decide": "a few comparisons",
    "print": "a write of the bytes to a terminal",
}
HEAD = """\
# Benchmarks

Written by `make bench`, which measures the toolkit beside what one could take instead, in the same run and in
turns; medians, and ratios of turns with the smallest and the largest. Every figure is in
[measurements/benchmarks.json](measurements/benchmarks.json). The network is the built-in one. The photos are
composed of ORL's faces by `scripts/bench_photos.py`. `scripts/bench.py --only cold warm` measures some parts
again and keeps the others. OpenCV and deepface run the same YuNet and SFace, in float32
(`scripts/rival_networks.py`)."""

SECTIONS = {
    "cold": Section(
        "The first answer",
        "A fresh process; files in the system's cache. `face_recognition` embeds the photos of its folder "
        "of known people at every call; the others enrolled before.",
        cold_section,
    ),
    "warm": Section(
        "One photo in a process that stays",
        "From the bytes of a photo of 800 x 600 to the answer, one call; the stages are run apart.",
        warm_section,
    ),
    "bulk": Section(
        "Many photos",
        "Photos of 1 to 5 megapixels: `embed enroll FOLDER`, ten photos a person, and `embed identify` of "
        "half of them and of all; OpenCV in a process a core on the same half.",
        bulk_section,
    ),
    "large": Section(
        "Large photos",
        "JPEG read whole, and at 1/s by `--max-pixels`, faces of one size looked for either way: read at "
        "1/s, `--min-face 20` means faces of 20 s pixels.",
        large_section,
    ),
    "search": Section(
        "Search",
        "Templates that lie like faces, 128 numbers each; `exact` and `approximate` are ours, `open` of "
        "these reads the gallery's file. [scale.md](scale.md) says what they mean.",
        search_section,
    ),
    "mapped": Section(
        "Search in a file",
        "10,000,000 templates, the vectors in a file that is mapped into memory. Building the graph takes "
        "one to two hours on two cores, so `make bench` leaves this out: `scripts/bench.py --only mapped`.",
        search_section,
    ),
    "scale": Section(
        "Large galleries",
        "`embed calibrate` and `embed gallery doctor` as commands; `embed evaluate` of vectors, without "
        "embedding photos. The slope of the time between the smallest and the largest size: 1 is linear, "
        "2 quadratic.",
        scale_section,
    ),
    "training": Section(
        "Training",
        "The default network with center loss on 320 faces of ORL: `embed train`, and `model.fit` on arrays "
        "in memory with the same network.",
        training_section,
    ),
    "folder": Section(
        "From a folder to a model",
        "`embed train FOLDER` with its defaults, nothing found before.",
        folder_section,
    ),
    "help": Section("Help", "A fresh process; files in the system's cache.", help_section),
    "milvus": Section(
        "Milvus",
        "A server on the same cores. [scale.md](scale.md) says more of it.",
        milvus_section,
    ),
}
