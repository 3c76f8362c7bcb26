"""Which Python `make` takes, in a folder of programs that say what a test lets them say."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

HERE = Path(__file__).parents[2]
NEEDED = ("sh", "sed", "expr", "dirname", "make", "touch")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with the files that `make` reads, and `bin` with what they call."""
    (tmp_path / "scripts").mkdir()
    for name in ("Makefile", "scripts/find_python.sh"):
        shutil.copy(HERE / name, tmp_path / name)
    (tmp_path / "pyproject.toml").write_text('requires-python = ">=3.11,<3.14"  # why\n')
    (tmp_path / "bin").mkdir()
    for name in NEEDED:
        found = shutil.which(name)
        if found is None:
            pytest.skip(f"needs {name}")
        (tmp_path / "bin" / name).symlink_to(found)
    return tmp_path


def add_python(place: Path, name: str, version: str, has_venv: bool = True) -> Path:
    """A Python that knows its version, whether it has venv, and how to make a folder that has pip."""
    program = place / "bin" / name
    program.write_text(
        "#!/bin/sh\n"
        'case "$*" in\n'
        f'*version_info*) echo "{version}" ;;\n'
        f"*ensurepip*) exit {0 if has_venv else 1} ;;\n"
        '"-m venv --clear .venv") /bin/mkdir -p .venv/bin; /bin/cp "$0" .venv/bin/python ;;\n'
        '"-m pip"*) echo "$*" >> pip.log ;;\n'
        "*) exit 3 ;;\n"
        "esac\n"
    )
    program.chmod(0o755)
    return program


def run(place: Path, *command: str) -> subprocess.CompletedProcess[str]:
    path = str(place / "bin") if place != HERE else os.environ["PATH"]
    return subprocess.run(command, cwd=place, env={"PATH": path}, capture_output=True, text=True, check=False)


def find(place: Path, *named: str) -> subprocess.CompletedProcess[str]:
    return run(place, "sh", "scripts/find_python.sh", *named)


@pytest.mark.parametrize(
    ("there", "taken"),
    [
        ({"python3.11": "3 11"}, "python3.11"),
        ({"python3.13": "3 13", "python3.12": "3 12"}, "python3.12"),
        ({"python3": "3 13", "python": "2 7"}, "python3"),
        ({"python3": "3 10", "python": "3 12"}, "python"),
        ({"python3": "3 14", "python3.13": "3 13"}, "python3.13"),
    ],
)
def test_the_first_that_fits_is_taken(place, there, taken):
    for name, version in there.items():
        add_python(place, name, version)
    done = find(place)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{taken}\n", "")


def test_the_bounds_are_those_of_the_project():
    allowed = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]["requires-python"]
    assert re.fullmatch(r">=3\.\d+,<3\.\d+", allowed)  # what the script can read
    done = find(HERE, sys.executable)
    assert (done.returncode, done.stdout) == (0, f"{sys.executable}\n"), done.stderr
    low, end = (int(minor) for minor in re.findall(r"3\.(\d+)", allowed))
    assert f"expected Python 3.{low} to 3.{end - 1} with venv" in find(HERE, "no-such-python").stderr


def test_one_without_venv_is_passed_over(place):
    add_python(place, "python3.11", "3 11", has_venv=False)
    add_python(place, "python3", "3 12")
    assert find(place).stdout == "python3\n"


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ([], "found none named python3.11 python3.12 python3.13 python3 python;"),
        ([("python3", "3 10", True), ("python", "2 7", True)], "found python3 is 3.10, python is 2.7;"),
        ([("python3", "3 14", True)], "found python3 is 3.14;"),
        ([("python3", "4 12", True)], "found python3 is 4.12;"),
        ([("python3", "3 12", False)], "apt install python3.12-venv"),
    ],
)
def test_none_that_fits_is_one_line(place, there, said):
    for entry in there:
        add_python(place, *entry)
    done = find(place)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert done.stderr.startswith("expected Python 3.11 to 3.13 with venv")
    assert "make PYTHON=/path/to/python3.11" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_one_that_is_named_wins_or_is_refused(place):
    add_python(place, "python3.11", "3 11")
    mine = add_python(place, "my python", "3 13")
    assert find(place, str(mine)).stdout == f"{mine}\n"
    add_python(place, "old", "3 9")
    done = find(place, "old")
    assert done.returncode == 1
    assert "found old is 3.9;" in done.stderr


def test_make_installs_with_it_and_keeps_the_folder_that_is_there(place):
    add_python(place, "python3", "3 12")
    done = run(place, "make", ".venv/.installed")
    assert done.returncode == 0, done.stderr
    assert "3 12" in (place / ".venv/bin/python").read_text()
    assert "--editable .[dev]" in (place / "pip.log").read_text()
    add_python(place, "python3.11", "3 11")
    (place / ".venv/.installed").unlink()
    assert run(place, "make", ".venv/.installed").returncode == 0
    assert "3 12" in (place / ".venv/bin/python").read_text()


def test_make_takes_the_one_that_is_named(place):
    add_python(place, "python3.11", "3 11")
    mine = add_python(place, "my python", "3 13")
    assert run(place, "make", ".venv/.installed", f"PYTHON={mine}").returncode == 0
    assert "3 13" in (place / ".venv/bin/python").read_text()


def test_make_without_one_says_it_in_a_line(place):
    done = run(place, "make", ".venv/.installed")
    assert done.returncode != 0
    first, *rest = done.stderr.splitlines()
    assert first.startswith("expected Python 3.11 to 3.13 with venv, found none")
    assert len(rest) == 1  # make's own
    assert not (place / ".venv").exists()
