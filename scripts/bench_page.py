"""docs/benchmarks.md from the figures of `bench.py`: tables, what was aimed at, versions and machines."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import bench_index
from turns import ratio

Figures = dict[str, Any]  # of one part; what its script printed, and the date
THEIRS = "face_recognition, "
SOAKED = (1_000, 10_000, 50_000)  # calls whose resident size is shown, and the last


@dataclass(frozen=True)
class Target:
    """What a figure should be at most, or at least."""

    part: str
    words: str  # of them those in braces are figures of the part
    limit: float
    measure: Callable[[Figures], float | None]  # None: what it is compared with was not there
    form: str = "{:.2f}"
    least: bool = False


@dataclass(frozen=True)
class Section:
    """A part on the page."""

    title: str
    text: str
    write: Callable[[Figures], Iterable[str]]


def cold(figures: Figures, command: str, what: str) -> list[float]:
    """Figures of a command, turn by turn."""
    return [run[what] for run in figures["runs"][command]]


def quickest(seconds: dict[str, Sequence[float]]) -> str | None:
    """Name the rival with the lowest median, None if there is no rival."""
    return min(seconds, key=lambda name: statistics.median(seconds[name]), default=None)


def cold_share(figures: Figures) -> float | None:
    """Ours over the quickest of theirs."""
    theirs = {name: cold(figures, name, "wall") for name in figures["runs"] if name.startswith(THEIRS)}
    best = quickest(theirs)
    return best and ratio(cold(figures, "embed identify", "wall"), theirs[best]).median


def is_ours(name: str) -> bool:
    """Say whether a row is of the toolkit."""
    return name.startswith(("ours", "embed"))


def rate(figures: Figures, command: str) -> float:
    """Photos a second."""
    return statistics.median(run["photos"] / run["wall"] for run in figures["runs"][command])


def warm_share(figures: Figures) -> float | None:
    """Ours over the quickest of theirs."""
    theirs = {name: stages["all"] for name, stages in figures["ms"].items() if not is_ours(name)}
    best = quickest(theirs)
    return best and ratio(figures["ms"]["ours"]["all"], theirs[best]).median


def shares(figures: Figures, command: str) -> dict[str, float]:
    """What a command's processor time went to: each stage as it is alone, and `other`."""
    runs = figures["runs"][command]
    found = {
        stage: statistics.median(
            ms * run["photos"] / 1000 / run["cpu"] for ms, run in zip(turns, runs, strict=True)
        )
        for stage, turns in figures["stages_ms"].items()
    }
    return {**found, "other": 1 - sum(found.values())}


def searched(index: str, what: str) -> Callable[[Figures], float | None]:
    """Give a figure of an index at the largest size, None if it was not measured."""

    def measure(figures: Figures) -> float | None:
        largest = max(row["templates"] for row in figures["rows"])
        found = [row[what] for row in figures["rows"] if (row["templates"], row["index"]) == (largest, index)]
        return found[0] if found else None

    return measure


def passes(figures: Figures) -> float | None:
    """How often all vectors could be read in the time of one query."""
    largest = max(row["templates"] for row in figures["rows"])
    query = searched("exact", "one")(figures)
    return None if query is None else query / min(figures["one_pass_ms"][str(largest)].values())


TARGETS = (
    Target(
        "cold",
        "`embed identify`, {photos} enrolled photos, a fresh process, s",
        1.2,
        lambda f: statistics.median(cold(f, "embed identify", "wall")),
    ),
    Target(
        "cold",
        "its largest resident size, MB",
        350,
        lambda f: statistics.median(cold(f, "embed identify", "peak_mb")),
        "{:.0f}",
    ),
    Target("cold", "its time over that of the command `face_recognition`", 0.1, cold_share, "{:.3f}"),
    Target("cold", "`embed --help`, s", 0.25, lambda f: statistics.median(cold(f, "embed --help", "wall"))),
    Target(
        "cold",
        "modules of TensorFlow and Keras that `embed identify` imports",
        0,
        lambda f: len({"tensorflow", "keras"} & set(f["imports"]["ms"])),
        "{:.0f}",
    ),
    Target(
        "warm",
        "one photo from bytes to answer among {templates:,} templates, ms",
        15,
        lambda f: statistics.median(f["ms"]["ours"]["all"]),
        "{:.1f}",
    ),
    Target(
        "warm",
        "the same with the weights in int8, ms",
        15,
        lambda f: statistics.median(f["ms"]["ours, int8"]["all"]),
        "{:.1f}",
    ),
    Target("warm", "its time, in float32, over that of `face_recognition`", 0.25, warm_share, "{:.3f}"),
    *(
        Target(
            "bulk",
            f"`{command}` of {{photos:,}} photos, photos/s",
            80,
            lambda f, command=command: rate(f, command),
            "{:.1f}",
            least=True,
        )
        for command in ("embed enroll", "embed identify")
    ),
    *(
        Target(
            "bulk",
            f"largest resident size of `{command}`, MB",
            800,
            lambda f, command=command: statistics.median(run["peak_mb"] for run in f["runs"][command]),
            "{:.0f}",
        )
        for command in ("embed enroll", "embed identify")
    ),
    *(
        Target(
            "bulk",
            f"share of `{command}` of {{photos:,}} photos that is neither decoding, finding nor the network",
            0.15,
            lambda f, command=command: shares(f, command)["other"],
        )
        for command in ("embed enroll", "embed identify")
    ),
    Target("search", "exact search, the most templates: open, s", 5, searched("exact", "open")),
    Target("search", "its largest resident size, MB", 1500, searched("exact", "peak"), "{:.0f}"),
    Target("search", "one query over one pass over the memory", 3, passes),
    Target("search", "64 queries together, ms each", 6, searched("exact", "together")),
    Target("search", "`--index approximate`: one query, ms", 1, searched("approximate", "one")),
    Target(
        "search",
        "its recall of the 10 nearest",
        0.99,
        searched("approximate", "recall"),
        "{:.3f}",
        least=True,
    ),
    Target(
        "training",
        "images/s of `embed train` over those of a bare `model.fit`",
        0.95,
        lambda f: ratio(f["images/s"]["embed train"], f["images/s"]["bare fit"]).median,
        least=True,
    ),
    Target(
        "soak",
        "what {calls:,} answers add to the resident size after 1,000, as a share of it",
        0.05,
        lambda f: f["growth"],
        "{:.4f}",
    ),
)


def page(parts: dict[str, Figures]) -> str:
    """Give the page, of the parts that were measured."""
    sections = [HEAD, "## What was aimed at", targets_table(parts)]
    for part, section in SECTIONS.items():
        if part in parts:
            sections += [f"## {section.title}", section.text]
            sections += [*section.write(parts[part]), surroundings_line(parts[part])]
    return "\n\n".join(sections) + "\n"


def targets_table(parts: dict[str, Figures]) -> str:
    """What was aimed at and what was reached."""
    rows = []
    for target in TARGETS:
        if target.part not in parts:
            continue
        value = target.measure(parts[target.part])
        said = "not measured" if value is None else target.form.format(value)
        reached = value is not None and (value >= target.limit if target.least else value <= target.limit)
        verdict = "" if value is None else "yes" if reached else "**no**"
        wanted = f"{'≥' if target.least else '≤'} {target.limit:g}"
        rows.append([target.words.format(**parts[target.part]), wanted, said, verdict])
    return table(["", "wanted", "measured", "reached"], rows)


def cold_section(figures: Figures) -> Iterable[str]:
    """Wall time and memory of the commands, and what is imported."""
    ours = cold(figures, "embed identify", "wall")
    rows = []
    for name in figures["runs"]:
        seconds, peak = (statistics.median(cold(figures, name, what)) for what in ("wall", "peak_mb"))
        times = times_ours(cold(figures, name, "wall"), ours) if name.startswith(THEIRS) else ""
        rows.append([name, f"{seconds:.2f}", f"{peak:.0f}", times])
    yield table(["command", "s", "largest resident size, MB", "times ours"], rows)
    yield from missing(figures)
    spent = ", ".join(f"{name} {ms:.0f} ms" for name, ms in figures["imports"]["ms"].items())
    yield f"`embed identify` imports {figures['imports']['modules']} modules; of the large packages: {spent}."


def warm_section(figures: Figures) -> Iterable[str]:
    """Medians of the stages."""
    ours = figures["ms"]["ours"]["all"]
    photos = len(ours)
    yield f"{figures['templates']:,} templates, {photos} photos; ours named {figures['right']} of them right."
    for name, stages in figures["ms"].items():
        cells = [f"{statistics.median(ms):.2f}" for ms in stages.values()]
        last = "" if is_ours(name) else times_ours(stages["all"], ours)
        title = name if is_ours(name) else THEIRS + name
        yield table(
            ["ms", *stages, "faces found", "times ours"],
            [[title, *cells, f"{figures['found'][name]} of {photos}", last]],
        )
    yield from missing(figures)


def bulk_section(figures: Figures) -> Iterable[str]:
    """Photos per second, and what the time went to."""
    rows = []
    for name, runs in figures["runs"].items():
        peak = statistics.median(run["peak_mb"] for run in runs)
        process = " (each process)" if name.startswith(THEIRS) else ""
        rows.append([name, str(runs[0]["photos"]), f"{rate(figures, name):.1f}", f"{peak:.0f}{process}"])
    yield table(["command", "photos", "photos/s", "largest resident size, MB"], rows)
    yield from missing(figures)
    yield "Shares of the command's processor time:"
    found = {name: shares(figures, name) for name in ("embed enroll", "embed identify")}
    stages = list(next(iter(found.values())))
    yield table(["", *stages], [[name, *(f"{one[s]:.2f}" for s in stages)] for name, one in found.items()])


def search_section(figures: Figures) -> Iterable[str]:
    """The table of bench_index."""
    head = ["templates", "index", *bench_index.COLUMNS.values()]
    rows = [bench_index.table_row(row).strip("| ").split(" | ") for row in figures["rows"]]
    yield table(head, rows)


def training_section(figures: Figures) -> Iterable[str]:
    """Both rates and their ratio."""
    rates = figures["images/s"]
    compared = ratio(rates["embed train"], rates["bare fit"])
    rows = [[name, f"{statistics.median(values):.1f}"] for name, values in rates.items()]
    said = f"{compared.median:.3f} ({compared.lowest:.3f} to {compared.highest:.3f})"
    yield table(["", "images/s"], [*rows, ["ratio", said]])


def finding_section(figures: Figures) -> Iterable[str]:
    """Time and faces found."""
    rows = []
    for row in figures["rows"]:
        ms = statistics.median(row["ms"])
        rows.append([row["photos"], row["finder"], f"{row['found']} of {row['faces']}", str(row["false"])])
        rows[-1].append(f"{ms:.1f}")
    yield table(["photos", "finder", "faces found", "boxes on no face", "ms a photo"], rows)
    yield from missing(figures)


def soak_section(figures: Figures) -> Iterable[str]:
    """Resident sizes along the way, and what was answered."""
    sizes = {int(call): mb for call, mb in figures["resident_mb"].items()}
    shown = [call for call in sorted(sizes) if call in SOAKED or call == max(sizes)]
    yield table(["after call", "resident size, MB"], [[f"{call:,}", f"{sizes[call]:.1f}"] for call in shown])
    said = ", ".join(f"{count:,} {outcome}" for outcome, count in figures["answers"].items())
    yield f"The largest was {max(sizes.values()):.1f} MB. Answers: {said}."


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
    versions = dict(figures["versions"]) | figures.get("indexes", {})
    for build, facts in figures.get("rivals", {}).items():
        if isinstance(facts, dict):
            versions[build] = ", ".join(f"{name} {value}" for name, value in facts.items())
    said = "; ".join(f"{name} {value}" for name, value in versions.items() if value)
    return f"{figures['date']}, {figures['machine']}, seed {figures['seed']}. {said}."


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


HEAD = """\
# Benchmarks

Written by `make bench`, which measures the toolkit beside what one could take instead, in the same run and in
turns; medians, and ratios of turns with the smallest and the largest. Every figure is in
[measurements/benchmarks.json](measurements/benchmarks.json). The photos are composed of ORL's faces by
`scripts/bench_photos.py`: 800 x 600 pixels, JPEG, one person each. `scripts/bench.py --only cold warm`
measures some parts again and keeps the others. `dlib-bin` is the wheel; `dlib-compiled` is built from source
on this machine, which has no BLAS for it where a line below says `blas False`. What was aimed at is compared
with the quicker one."""

SECTIONS = {
    "cold": Section(
        "The first answer",
        "A fresh process; files in the system's cache. `face_recognition` embeds the photos of its folder "
        "of known people at every call, ours were enrolled before: that is the difference between the two "
        "as commands.",
        cold_section,
    ),
    "warm": Section(
        "One photo in a process that stays",
        "From the bytes of a photo to the answer. `all` is one call; the stages are run apart.",
        warm_section,
    ),
    "bulk": Section(
        "Many photos",
        "`embed enroll FOLDER`, ten photos a person, and `embed identify` of the same photos; "
        "`face_recognition --cpus -1` on some of them. What the stages take is measured alone, on all "
        "cores at once; `other` is what is left of the command, its start and threads that wait included.",
        bulk_section,
    ),
    "search": Section(
        "Search",
        "Templates that lie like faces; `exact` and `approximate` are ours. [scale.md](scale.md) says what "
        "they mean.",
        search_section,
    ),
    "training": Section(
        "Training",
        "`face-resnet` with center loss on 320 faces of ORL: `embed train`, and `model.fit` on arrays in "
        "memory with the same network.",
        training_section,
    ),
    "finding": Section(
        "Finding faces",
        "One thread each, decoded before. Portraits: one face in 800 x 600. Groups: six in 1600 x 1200, of "
        "60 to 200 pixels.",
        finding_section,
    ),
    "soak": Section(
        "Memory over many answers",
        "One process, one `Identifier`, pictures of 60 to 1,200 pixels drawn at random, some without a "
        "face, some broken.",
        soak_section,
    ),
}
