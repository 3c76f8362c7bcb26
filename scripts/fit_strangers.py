"""Measure what a network's distances between strangers are, for the model to carry.

Each set is a labelled folder (SET/<person>/<photos>), ORL among them unless `--without-orl`; its photos are
embedded by the model, faces found and aligned.
The moments of ln d over the sets and their deviations (`embedder.stranger_fit`) are printed as one JSON
line, and for each set the threshold that all others give for one person, beside the distance that 1 % of its
own pairs of strangers' photos are within: the first must be smaller.

With --pixels, copies of the aligned faces that show so few pixels are saved beside them, for
`prove_threshold.py`; nothing is fitted to these.

    python scripts/fit_strangers.py [--model embed-model] [SET ...] [--save vectors.npz] [--pixels 12 ...]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from bench_main_job import surroundings
from training_gain import shrunk

from embedder import Extractor, load_image
from embedder.faces.crop import main_face
from embedder.folders import scan_folder, write_dataset
from embedder.metrics import squared_distances
from embedder.stranger_fit import fit_strangers
from enroll.folder_embedding import embed_folder

Array = np.ndarray[Any, Any]
AT = "at"  # in the name of a set of copies


def main() -> None:
    """Measure, and print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("sets", nargs="*", type=Path)
    parser.add_argument("--model", default="built-in")
    parser.add_argument("--without-orl", action="store_true")
    parser.add_argument("--save", type=Path)
    parser.add_argument("--pixels", type=int, nargs="*", default=[])
    given = parser.parse_args()
    extractor = Extractor.load(given.model)
    sets: dict[str, tuple[Array, Array]] = {}
    copies: dict[str, tuple[Array, Array]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folders = {folder.name: folder for folder in given.sets}
        if not given.without_orl:
            write_dataset("orl", Path(scratch) / "orl")
            folders["ORL"] = Path(scratch) / "orl"
        for name, folder in folders.items():
            sets[name] = embedded(folder, extractor)
            copies |= {f"{name} {AT} {side} px": small(folder, extractor, side) for side in given.pixels}
    if given.save:
        parts = {
            f"{name}/{part}": array
            for name, both in (sets | copies).items()
            for part, array in zip("vl", both, strict=True)
        }
        np.savez(given.save, **parts)  # type: ignore[arg-type]  # no part is named allow_pickle
    known = fit_strangers(list(sets.values()))
    if known is None:
        raise SystemExit("expected a set with at least two people")
    left_out = {name: row for name in sets if (row := without(sets, name)) is not None}
    print("| set | people | photos | threshold by the other sets | 1 % of its strangers |\n|" + " --- |" * 5)
    for name, (threshold, own) in left_out.items():
        vectors, labels = sets[name]
        print(f"| {name} | {len(np.unique(labels))} | {len(vectors)} | {threshold:.3f} | {own:.3f} |")
    facts = {"script": "fit_strangers", **surroundings(), "model": extractor.fingerprint}
    print(json.dumps({**facts, "strangers": known.to_json(), "left_out": left_out}))


def embedded(folder: Path, extractor: Extractor) -> tuple[Array, Array]:
    """Embed a labelled folder, photos without a face left out."""
    photos = embed_folder(scan_folder(folder), extractor, force=True)
    return photos.vectors[photos.found], photos.labels[photos.found]


def small(folder: Path, extractor: Extractor, side: int) -> tuple[Array, Array]:
    """Embed the faces of a labelled folder as if they had so few pixels across."""
    scanned = scan_folder(folder)
    crops, labels = [], []
    for sample in scanned.samples:
        image = load_image(sample.path)
        if faces := extractor.crops(image):
            crops.append(main_face(faces, image.shape).pixels)
            labels.append(scanned.identities.index(sample.identity))
    return extractor.embed(list(shrunk(np.stack(crops), side))), np.array(labels)


def without(sets: dict[str, tuple[Array, Array]], name: str) -> tuple[float, float] | None:
    """Give the threshold for one person by all other sets, and the distance that 1 % of pairs are within."""
    known = fit_strangers([both for other, both in sets.items() if other != name])
    vectors, labels = sets[name]
    if known is None or len(np.unique(labels)) < 2:
        return None
    distances = np.sqrt(squared_distances(vectors, vectors))[labels[:, None] != labels[None]]
    return known.threshold(0.01, 1), float(np.quantile(distances, 0.01))


if __name__ == "__main__":
    main()
