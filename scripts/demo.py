"""The main job on real faces, as a user would do it: `make demo`.

Adapts the face trunk to people 1-20 of ORL, enrolls 5 photos each of people 21-30, who were not trained on,
identifies their other photos and all photos of people 31-40, who are strangers, and compares with the trunk
as it was. Leaves a contact sheet to look at.

    python scripts/demo.py FOLDER
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from embedder import load_image
from embedder.images import resize_to_square
from embedder.metrics import Searches

TRAINED, KNOWN, STRANGERS = range(1, 21), range(21, 31), range(31, 41)
ENROLLED = 5
GREEN, RED, GREY = (46, 125, 50), (198, 40, 40), (97, 97, 97)


@dataclass(frozen=True)
class Probe:
    """One photo that was searched for: what it is and what was answered."""

    path: Path
    person: str
    known: bool
    face: dict[str, Any]

    @property
    def verdict(self) -> tuple[str, tuple[int, int, int]]:
        """In words and in a colour: right, wrong, or missed."""
        answer = self.face["identity"]
        if answer == self.person:
            return "right", GREEN
        if answer is None:
            return ("missed", GREY) if self.known else ("right", GREEN)
        return "wrong", RED


def main() -> None:
    """Run the commands, then print the table and draw the sheet."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = Path(sys.argv[1])
    start = time.perf_counter()
    embed("data", "orl", folder / "orl")
    for part, people in (("train", TRAINED), ("known", KNOWN)):
        copy_people(folder / "orl", folder / part, people, None if part == "train" else ENROLLED)
    tables = {}
    for model, options in (("frozen", ["--epochs", "0"]), ("trained", [])):
        gallery = folder / f"{model}.db"
        gallery.unlink(missing_ok=True)
        embed("train", folder / "train", "--model", folder / model, *options)
        embed("enroll", folder / "known", "--model", folder / model, "--gallery", gallery, show=4)
        tables[model] = identify(folder, model)
    print_table(tables)
    sheet = folder / "contact-sheet.png"
    draw_sheet(tables["trained"], folder / "known").save(sheet)
    print(f"\n{sheet}: every probe with its answer and distance; look at it")
    print(f"{time.perf_counter() - start:.0f} s in all")


def embed(*arguments: object, show: int | None = None) -> str:
    """Run an `embed` command, echoing it and its output; `show` limits the lines echoed."""
    words = [str(argument) for argument in arguments]
    shown = words if len(words) <= 10 else [*words[:7], f"... ({len(words) - 7} more)"]
    print(f"\n$ embed {' '.join(shown)}", flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "enroll.cli", *words], stdout=subprocess.PIPE, text=True, check=True
    )
    lines = done.stdout.splitlines()
    for line in lines[:show]:
        print(line)
    if show is not None and len(lines) > show:
        print(f"... {len(lines) - show} more lines")
    return done.stdout


def copy_people(source: Path, target: Path, people: range, photos: int | None) -> None:
    """Copy the first photos of some people into a labelled folder of their own."""
    for number in people:
        folder = target / f"s{number:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted((source / folder.name).iterdir())[:photos]:
            (folder / path.name).write_bytes(path.read_bytes())


def identify(folder: Path, model: str) -> list[Probe]:
    """Search for the photos that were not enrolled and for those of strangers."""
    known = [path for n in KNOWN for path in sorted((folder / "orl" / f"s{n:02d}").iterdir())[ENROLLED:]]
    strangers = [path for n in STRANGERS for path in sorted((folder / "orl" / f"s{n:02d}").iterdir())]
    options = ["--json", "--model", folder / model, "--gallery", folder / f"{model}.db"]
    output = embed("identify", *options, *known, *strangers, show=0)
    answers = [json.loads(line) for line in output.splitlines()]
    return [
        Probe(path, path.parent.name, path in known, answer["faces"][0])
        for path, answer in zip(known + strangers, answers, strict=True)
    ]


def print_table(tables: dict[str, list[Probe]]) -> None:
    """Compare the trunk before and after training, both in figures and in people."""
    print(f"\n{len(KNOWN)} people enrolled with {ENROLLED} photos each; none of them was trained on\n")
    print(f"{'':44}{'frozen':>10}{'trained':>10}")
    rows: dict[str, list[str]] = {}
    for probes in tables.values():
        searches = Searches(
            np.array(
                [probe.face["candidates"][0]["identity"] == probe.person for probe in probes if probe.known]
            ),
            np.array([probe.face["distance"] for probe in probes if probe.known]),
            np.array([probe.face["distance"] for probe in probes if not probe.known]),
        )
        known = [probe.verdict[0] for probe in probes if probe.known]
        strangers = [probe.verdict[0] for probe in probes if not probe.known]
        figures = {
            "rank-1": f"{searches.rank1:.3f}",
            "TPIR at FPIR 1 %": f"{searches.tpir(0.01):.3f}",
            "TPIR at FPIR 10 %": f"{searches.tpir(0.1):.3f}",
            "threshold of the model": f"{probes[0].face['threshold']:.3f}",
            f"  of {len(known)} photos of known people: right": str(known.count("right")),
            "    called unknown": str(known.count("missed")),
            "    named wrongly": str(known.count("wrong")),
            f"  of {len(strangers)} photos of strangers: unknown": str(strangers.count("right")),
            "    named": str(strangers.count("wrong")),
        }
        for name, value in figures.items():
            rows.setdefault(name, []).append(value)
    for name, values in rows.items():
        print(f"{name:44}" + "".join(f"{value:>10}" for value in values))


def draw_sheet(probes: list[Probe], enrolled: Path, columns: int = 10) -> Image.Image:
    """Draw each probe beside a photo of whom it was nearest to, framed by verdict."""
    side, text = 92, 44
    width, height = 2 * side + 12, side + text + 10
    probes = sorted(probes, key=lambda probe: (not probe.known, probe.path.parent.name, probe.path.name))
    rows = -(-len(probes) // columns)
    sheet = Image.new("RGB", (columns * width, rows * height + 30), "white")
    draw = ImageDraw.Draw(sheet)
    font, small = ImageFont.load_default(14), ImageFont.load_default(12)
    draw.text(
        (8, 6), "probe | nearest enrolled person: answer, distance (threshold)", fill="black", font=font
    )
    for index, probe in enumerate(probes):
        x, y = index % columns * width + 6, index // columns * height + 30
        nearest = probe.face["candidates"][0]["identity"]
        other = sorted((enrolled / nearest).iterdir())[0]
        for offset, path in ((0, probe.path), (side, other)):
            sheet.paste(Image.fromarray(resize_to_square(load_image(path), side)), (x + offset, y))
        verdict, colour = probe.verdict
        draw.rectangle((x - 2, y - 2, x + 2 * side + 1, y + side + 1), outline=colour, width=3)
        answer = probe.face["identity"] or "unknown"
        who = probe.person if probe.known else "stranger"
        draw.text((x, y + side + 4), f"{who}: {answer}, {verdict}", fill=colour, font=font)
        distance = f"{nearest} at {probe.face['distance']:.3f} ({probe.face['threshold']:.3f})"
        draw.text((x, y + side + 22), distance, fill="black", font=small)
    return sheet


if __name__ == "__main__":
    main()
