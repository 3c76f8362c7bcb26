"""Build the package and use it as someone does who has nothing of it yet; no release is made.

1. wheel and sdist by `python -m build`, checked by twine and check-wheel-contents;
2. the wheel installed into a fresh environment in a temporary folder, where the commands of README run on
   photos of ORL, and its Python, too;
3. each optional extra alone in an environment of its own: `embed info` runs, and `pip check` finds no clash;
4. what (2) installed, as a list of licences and as an SBOM (CycloneDX): build/release/licences.csv and
   build/release/sbom.json.

Every step is one line; the first that fails ends it with exit code 1 and what it printed. pip's own settings
(an index, a cache) count. Takes some minutes a step, as everything is installed again.

    python scripts/check_release.py [--only build readme extras report] [--extras serve heic ...]
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import venv
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
OUT = ROOT / "build" / "release"
STEPS = ("build", "readme", "extras", "report")
FOR_TESTS = {"dev", "release"}  # extras that no user installs
# Commands of README that ask for what is not at hand here: why each is left out.
LEFT_OUT = {
    "embed identify film.mp4": "a film",
    "embed library scan ~/Photos": "someone's own folder",
    "embed serve": "a server, which does not end",
    "embed train photos": "a training of minutes; `embed train people` is one, too",
    "embed train people": "a training of minutes: make demo",
    "embed gallery re-embed": "needs the model that training writes",
}


class FailedError(Exception):
    """A step did not do what it is to do."""


def main() -> None:
    """Take the steps in order."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", default=STEPS, choices=STEPS)
    parser.add_argument("--extras", nargs="+", default=sorted(set(extras()) - FOR_TESTS))
    given = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="release-") as scratch:
            check(Path(scratch), given.only, given.extras)
    except FailedError as error:
        sys.exit(f"release-check: {error}")


def check(scratch: Path, steps: Iterable[str], wanted: Iterable[str]) -> None:
    """Take some of the steps in a folder."""
    tools = environment(scratch / "tools", [*requirements("release")])
    wheel = build(tools)
    if "readme" in steps or "report" in steps:
        fresh = environment(scratch / "fresh", [f"{wheel}[demo]"])
        if "readme" in steps:
            run_readme(fresh, scratch / "readme")
        if "report" in steps:
            write_report(tools, fresh)
    if "extras" in steps:
        for extra in wanted:
            alone = environment(scratch / f"with-{extra}", [f"{wheel}[{extra}]"])
            run(alone, "python", "-m", "pip", "check")
            run(alone, "embed", "info", "--json", cwd=scratch)
            shutil.rmtree(alone)  # TensorFlow in each of them would fill a disk
            done(f"extra {extra} alone: installed, no clash, `embed info` runs")


def build(tools: Path) -> Path:
    """Build wheel and sdist and check them; give the wheel."""
    OUT.mkdir(parents=True, exist_ok=True)
    for old in (*OUT.glob("*.whl"), *OUT.glob("*.tar.gz")):
        old.unlink()
    run(tools, "python", "-m", "build", "--outdir", str(OUT), str(ROOT))
    (wheel,), (sdist,) = OUT.glob("*.whl"), OUT.glob("*.tar.gz")
    run(tools, "twine", "check", "--strict", str(wheel), str(sdist))
    run(tools, "check-wheel-contents", str(wheel), cwd=ROOT)  # where its settings are
    done(f"built and checked: {wheel.name}, {sdist.name}")
    return wheel


def run_readme(fresh: Path, folder: Path) -> None:
    """Run the commands and the Python of README on photos of ORL."""
    lay_out(fresh, folder)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for command in readme_commands(text):
        if command in LEFT_OUT:
            done(f"left out: {command} ({LEFT_OUT[command]})")
            continue
        run(fresh, "bash", "-c", command, cwd=folder)
        done(command)
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    code = code.replace('Extractor.load("embed-model")', "Extractor.load()")  # that takes a training
    (folder / "gallery.db").unlink()
    run(fresh, "python", "-c", code, cwd=folder)
    done("the Python of README")


def readme_commands(text: str) -> list[str]:
    """Give the lines of README that begin with `embed`, without what is said about them."""
    blocks = re.findall(r"```\n(.*?)```", text, re.DOTALL)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    return [line.partition(" #")[0].strip() for line in lines if re.match(r"embed [a-z]+ ?", line)]


def lay_out(fresh: Path, folder: Path) -> None:
    """Write the photos that README speaks of."""
    folder.mkdir()
    run(fresh, "embed", "data", "orl", "orl", cwd=folder)
    code = """
from pathlib import Path
from PIL import Image
people = sorted(Path("orl").iterdir())
for person in people[:6]:
    for photo in sorted(person.iterdir())[:5]:
        to = Path("people", person.name, photo.stem + ".jpg")
        to.parent.mkdir(parents=True, exist_ok=True)
        Image.open(photo).save(to)
photos = sorted(people[0].iterdir())[5:]
Path("holiday").mkdir()
Image.open(photos[0]).save("holiday/1.jpg")
for name, photo in zip(("photo.jpg", "a.jpg", "b.jpg", "c.jpg", "d.jpg"), photos):
    Image.open(photo).save(name)
Image.open(photos[0]).resize((112, 112)).convert("RGB").save("crop.png")
"""
    run(fresh, "python", "-c", code, cwd=folder)


def write_report(tools: Path, fresh: Path) -> None:
    """Write which licences and packages a fresh installation has."""
    python = str(fresh / "bin" / "python")
    licences, sbom = OUT / "licences.csv", OUT / "sbom.json"
    of_fresh = ("pip-licenses", f"--python={python}", "--from=mixed", "--with-urls", "--format=csv")
    licences.write_text(run(tools, *of_fresh), encoding="utf-8")
    run(tools, "cyclonedx-py", "environment", "--of", "JSON", "-o", str(sbom), python)
    packages = len(licences.read_text(encoding="utf-8").splitlines()) - 1
    done(f"{packages} packages: {licences.relative_to(ROOT)}, {sbom.relative_to(ROOT)}")


def environment(folder: Path, packages: Sequence[str]) -> Path:
    """Make an environment in a folder and install packages into it."""
    venv.create(folder, with_pip=True)
    quiet = ("--quiet", "--disable-pip-version-check")
    run(folder, "python", "-m", "pip", "install", *quiet, *packages)
    return folder


def requirements(extra: str) -> list[str]:
    """Give what an extra of pyproject.toml asks for."""
    return extras()[extra]


def extras() -> dict[str, list[str]]:
    """Give the extras of pyproject.toml."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        found: dict[str, list[str]] = tomllib.load(file)["project"]["optional-dependencies"]
    return found


def run(environment: Path, program: str, *arguments: str, cwd: Path | None = None) -> str:
    """Run a program of an environment, or of the system; give what it printed.

    Raises:
        FailedError: it ended with another code than 0.
    """
    programs = environment / "bin"
    settings = {
        **{name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")},
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "EMBED_CACHE": str(environment.parent / "cache"),
    }
    named = str(programs / program) if (programs / program).exists() else program
    ended = subprocess.run(
        [named, *arguments],
        cwd=cwd or environment,
        env=settings,
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode != 0:
        command = " ".join((program, *arguments))
        raise FailedError(f"{command}\n{ended.stdout}{ended.stderr}\nexit code {ended.returncode}")
    return ended.stdout


def done(line: str) -> None:
    """Say that a step is done."""
    print(line, flush=True)


if __name__ == "__main__":
    main()
