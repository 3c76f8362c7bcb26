"""Sort a folder of photos without names: group the faces, name the groups, make a folder for each person.

    python examples/sort_library.py [PHOTOS]

Without an argument: 40 photos of four people of ORL in one folder (extra `demo`). A person would look at each
group before naming it; here groups are called A, B, C, …. Photos are copied, never moved or changed. The same
by hand: `embed library scan`, `groups`, `confirm`, `sort`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from embedder.folders import write_dataset


def embed(scratch: Path, *words: str) -> list[dict[str, Any]]:
    """Run a command of `embed`, in a gallery of its own; give the objects that it prints."""
    command = [sys.executable, "-m", "enroll.cli", *words, "--json", "--gallery", str(scratch / "library.db")]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return [json.loads(line) for line in said.splitlines()]


def main(photos: Path, scratch: Path) -> None:
    """Scan, group, name and sort."""
    for done in embed(scratch, "library", "scan", str(photos)):
        if done["done"] == "scanned":
            print(f"{done['photos']} photos, {done['faces']} faces")
    (found,) = embed(scratch, "library", "groups")
    several = [group for group in found["groups"] if len(group["faces"]) > 1]
    for name, group in zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", several, strict=False):
        embed(scratch, "library", "confirm", name, f"g{group['id']}")
        print(f"{name}: {len(group['faces'])} faces, such as {Path(group['faces'][0]['photo']).name}")
    embed(scratch, "library", "sort", str(scratch / "sorted"), "--confirmed")
    for folder in sorted((scratch / "sorted").iterdir()):
        if folder.is_dir():
            print(f"{folder.name}/: {len(list(folder.iterdir()))} photos")


def four_people(folder: Path) -> Path:
    """Put the photos of four people into one folder."""
    write_dataset("orl", folder / "orl")
    (folder / "photos").mkdir()
    for person in sorted((folder / "orl").iterdir())[:4]:
        for photo in person.iterdir():
            (folder / "photos" / f"{person.name}-{photo.name}").write_bytes(photo.read_bytes())
    return folder / "photos"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else four_people(Path(made)), Path(made))
