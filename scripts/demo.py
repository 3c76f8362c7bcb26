"""The main job on real faces of few pixels, as a user would do it: `make demo`.

Trains with softmax and center loss on the aligned faces of people 1-20 of ORL, shown as few pixels. Enrolls 5
faces of 12 pixels each of people 21-30, who were not trained on, identifies their other faces and those of
people 31-40, who are strangers, and compares with the network as it was. Trains softmax alone and triplets
likewise, and prints TPIR at FPIR 1 % of all four: means over 20 random halves of people 21-40, and where 95 %
of the halves lie. Training is short, to fit into minutes: `scripts/training_gain.py` measures the default.
Leaves a contact sheet to look at; the last line of output is JSON.

    python scripts/demo.py FOLDER
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bench_main_job import surroundings
from PIL import Image, ImageDraw, ImageFont
from training_gain import SIDE, People, shrunk, tpirs

from embedder import Extractor, load_image
from embedder._internal.runtime import map_in_order, own_streams
from embedder.built_in import load_built_in
from embedder.faces.crop import Cropping, load_cropper, main_face
from embedder.folders import Sample, scan_folder
from embedder.images import resize_to_square
from embedder.metrics import OpenSetScores, interval
from embedder.trunks import find_trunk

TRAINED, KNOWN, STRANGERS = range(1, 21), range(21, 31), range(31, 41)
ENROLLED = 5
FEW = 12  # pixels across a face
HALVES = 20
GREEN, RED, GREY = (46, 125, 50), (198, 40, 40), (97, 97, 97)
# Shorter than the default, which trains for twice as long, and again on everyone.
SHORT = {"epochs": 2, "epoch_batches": 12}
# For the table: on all people of the folder, at the share that is the default where no one is held out.
HEADS = {
    "softmax alone": ["--head=softmax"],
    "triplets": ["--head=triplet", "--mining=batch-hard", "--margin=0.3"],
}


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
    """Run the commands, then print the tables and draw the sheet."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = Path(sys.argv[1])
    start = time.perf_counter()
    embed("data", "orl", folder / "orl")
    people = prepare(folder)
    options = [f"--{name.replace('_', '-')}={value}" for name, value in SHORT.items()]
    frozen = [folder / "train", "--model", folder / "frozen", "--crop", "whole"]
    embed("train", *frozen, "--epochs", 0, show=0)
    trained = [folder / "train", "--model", folder / "trained", "--crop", "whole", "--no-refit", *options]
    embed("train", *trained)
    answers = {}
    for model in ("frozen", "trained"):
        gallery = folder / f"{model}.db"
        gallery.unlink(missing_ok=True)
        enrolled = [folder / "known", "--model", folder / model, "--gallery", gallery, "--accept-low-quality"]
        embed("enroll", *enrolled, show=4)
        answers[model] = identify(folder, model)
    print_table(answers)
    models = {"network as it was": folder / "frozen", "softmax + center loss": folder / "trained"}
    models |= train_heads(folder, options)
    rows = compare(models, people)
    sheet = folder / "contact-sheet.png"
    draw_sheet(answers["trained"], folder / "known").save(sheet)
    print(f"\n{sheet}: every face with its answer and distance; look at it")
    seconds = round(time.perf_counter() - start)
    print(f"{seconds} s in all")
    print(json.dumps({"script": "demo", **surroundings(), "seed": 0, "seconds": seconds, "rows": rows}))


def prepare(folder: Path) -> People:
    """Cut out faces: those to train on as they are, the others at `FEW` pixels; give these as they are."""
    network = load_built_in().parts["detector"]
    cropper = load_cropper(Cropping("face", SIDE, find_trunk("sface").landmarks, network=network))

    def cut(sample: Sample) -> Any:
        image = load_image(sample.path)
        return main_face(cropper.crops(image), image.shape).pixels

    crops, labels = [], []
    samples = scan_folder(folder / "orl").samples
    for sample, crop in zip(samples, map_in_order(cut, samples), strict=True):
        number = int(sample.identity[1:])
        photo = int(sample.path.stem)
        if number in TRAINED:
            part = "train"
        else:
            crops.append(crop)
            labels.append(number)
            crop = shrunk(crop[None], FEW)[0]
            part = "known" if number in KNOWN and photo <= ENROLLED else "probes"
        (folder / part / sample.identity).mkdir(parents=True, exist_ok=True)
        Image.fromarray(crop).save(folder / part / sample.identity / f"{photo:02d}.png")
    return People(np.stack(crops), np.array(labels))


def train_heads(folder: Path, options: Sequence[object]) -> dict[str, Path]:
    """Train the other heads side by side; what the frozen layers make of the views is there by now."""
    started = []
    for name, head in HEADS.items():
        print(f"Training {name} for the table", flush=True)
        model = folder / name.replace(" ", "-")
        words = ["train", folder / "train", "--model", model, "--crop=whole", "--hold-out=0", *options, *head]
        command = [sys.executable, "-m", "enroll.cli", *map(str, words)]
        said = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        started.append((name, model, said))
    for name, _, process in started:
        lines, _ = process.communicate()
        if process.returncode:
            sys.exit(f"training {name} ended with {process.returncode}:\n{lines}")
    return {name: model for name, model, _ in started}


def compare(models: dict[str, Path], people: People) -> list[dict[str, Any]]:
    """Print TPIR at FPIR 1 % of each model by kind of photo: the mean, and where 95 % of halves lie."""
    print(f"\nTPIR at FPIR 1 %, {HALVES} random halves of people 21-40: mean (95 % of the halves)\n")
    rows: list[dict[str, Any]] = []
    for name, model in models.items():
        extractor = Extractor.load(model)
        clean, few = (extractor.embed(list(part)) for part in (people.crops, shrunk(people.crops, FEW)))
        figures = {
            f"{FEW} pixels": tpirs(people, few, halves=HALVES),
            "enrolled clean": tpirs(people, few, clean, halves=HALVES),
            "clean": tpirs(people, clean, halves=HALVES),
        }
        row = {
            kind: [round(float(value), 3) for value in (halves.mean(), *interval(halves))]
            for kind, halves in figures.items()
        }
        if not rows:
            print(f"{'':24}" + "".join(f"{kind:>26}" for kind in row))
        cells = [f"{mean:.3f} ({low:.2f} to {high:.2f})" for mean, low, high in row.values()]
        print(f"{name:24}" + "".join(f"{cell:>26}" for cell in cells), flush=True)
        rows.append({"model": name, **row})
    print(f'"enrolled clean": good photos enrolled, faces of {FEW} pixels searched')
    return rows


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


def identify(folder: Path, model: str) -> list[Probe]:
    """Search for the photos that were not enrolled and for those of strangers."""
    probes = [
        sorted(path for n in people for path in (folder / "probes" / f"s{n:02d}").iterdir())
        for people in (KNOWN, STRANGERS)
    ]
    known, strangers = probes
    options = ["--json", "--model", folder / model, "--gallery", folder / f"{model}.db"]
    output = embed("identify", *options, *known, *strangers, show=0)
    answers = [json.loads(line) for line in output.splitlines()]
    return [
        Probe(path, path.parent.name, path in known, answer["faces"][0])
        for path, answer in zip(known + strangers, answers, strict=True)
    ]


def print_table(tables: dict[str, list[Probe]]) -> None:
    """Compare the trunk before and after training, both in figures and in people."""
    print(f"\n{len(KNOWN)} people enrolled with {ENROLLED} faces of {FEW} pixels; none was trained on\n")
    print(f"{'':44}{'frozen':>10}{'trained':>10}")
    rows: dict[str, list[str]] = {}
    for probes in tables.values():
        searches = OpenSetScores(
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
    with own_streams():  # a program of our own: what TensorFlow writes at its start is held back
        main()
