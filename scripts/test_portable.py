"""Does the suite pass on other machines than this one? Runs the fast tests in a table of environments.

`no-avx512` and `no-avx2` hide instructions of the processor from numpy, OpenBLAS, oneDNN, XLA and faiss; what
LiteRT and Pillow use cannot be hidden. `one-thread` and `four-threads` share work out otherwise: sums in
another order. `oldest` has the lowest versions that pyproject.toml allows, `newest-3.x` the highest for that
Python, each in a virtual environment in a temporary folder, deleted afterwards. A Python that is not there is
skipped. Prints a line for each environment, the tests that failed, and last one JSON line; the exit code is 1
if a test failed or nothing could be installed.

    python scripts/test_portable.py [NAME ...] [--list] [--pytest "ARGUMENTS"]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
ARGUMENTS = "-q -n 2 --dist worksteal -p no:cacheprovider"
_BOUND = re.compile(r"([\w.-]+)(?:\[[^\]]*\])?[>=]=([\w.]+)")  # a constraint names no extras
_SUMMARY = re.compile(r"^(?:=+ )?(\d+ [a-z]+.*) in \d+\.\d+s", re.MULTILINE)


@dataclass(frozen=True)
class Environment:
    """What the tests run in.

    Attributes:
        variables: environment variables that are set.
        versions: `installed`, `oldest` or `newest`.
        python: such as `python3.12`; only with versions of its own.
    """

    variables: dict[str, str] = field(default_factory=dict)
    versions: str = "installed"
    python: str = ""

    def missing(self) -> str | None:
        """Say what this machine lacks for it, or nothing."""
        if "NPY_DISABLE_CPU_FEATURES" in self.variables and platform.machine() not in ("x86_64", "AMD64"):
            return "no x86-64 processor"
        if self.python and (shutil.which(self.python) is None or _version_of(self.python) is None):
            return f"no {self.python} here"
        return None


def environments() -> dict[str, Environment]:
    """Give all environments by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    low, end = (int(minor) for minor in re.findall(r"3\.(\d+)", project["requires-python"]))
    pythons = [f"python3.{minor}" for minor in range(low, end)]
    return {
        "no-avx512": Environment(hidden("AVX2", "AVX2", "Haswell", "AVX2", "AVX2")),
        "no-avx2": Environment(hidden("", "SSE41", "Nehalem", "SSE4_2", "NONE")),
        "one-thread": Environment(threads(1)),
        "four-threads": Environment(threads(4)),
        "oldest": Environment(versions="oldest", python=pythons[0]),
        **{f"newest-{each[6:]}": Environment(versions="newest", python=each) for each in pythons},
    }


def hidden(numpy_keeps: str, onednn: str, openblas: str, xla: str, faiss: str) -> dict[str, str]:
    """Give the variables that hide instructions, each library's own word for what is left.

    numpy is told what to leave out instead: what it was built for and finds here, in its own words, which
    newer versions changed (AVX2 was renamed to X86_V3).
    """
    import numpy as np

    found: Any = np.show_config(mode="dicts")
    hidden_already = os.environ.get("NPY_DISABLE_CPU_FEATURES", "").split()  # numpy does not find them here
    groups = [*hidden_already, *found["SIMD Extensions"].get("found", [])]
    kept = ("X86_V3", "AVX2", "FMA3", "AVX", "F16C") if numpy_keeps else ()
    return {
        "NPY_DISABLE_CPU_FEATURES": " ".join(group for group in groups if group not in kept),
        "ONEDNN_MAX_CPU_ISA": onednn,
        "OPENBLAS_CORETYPE": openblas,
        "XLA_FLAGS": f"--xla_cpu_max_isa={xla}",
        "FAISS_SIMD_LEVEL": faiss,
    }


def threads(count: int) -> dict[str, str]:
    """Give the variables that set how many threads the libraries use."""
    names = ("OMP_NUM", "OPENBLAS_NUM", "TF_NUM_INTRAOP", "TF_NUM_INTEROP")
    return {f"{name}_THREADS": str(count) for name in names}


def main() -> int:
    """Run the tests in each environment that is named, or in all."""
    known = environments()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}; all by default")
    parser.add_argument("--list", action="store_true", help="show what each environment sets, and end")
    parser.add_argument("--pytest", default=ARGUMENTS, help=f"instead of {ARGUMENTS!r}; may name folders")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in known]:
        parser.error(f"expected names of {', '.join(known)}, got {', '.join(unknown)}")
    if options.list:
        for name, chosen in known.items():
            settings = " ".join(f"{key}={shlex.quote(value)}" for key, value in chosen.variables.items())
            print(f"{name:<14}{settings or f'{chosen.versions} versions, {chosen.python}'}")
        return 0
    results: dict[str, dict[str, Any]] = {}
    for name in options.names or known:
        results[name] = run(known[name], shlex.split(options.pytest))
        _show(name, results[name])
    print(json.dumps({"environments": results}))
    return int(any(result.get("code") for result in results.values()))


def run(environment: Environment, arguments: list[str]) -> dict[str, Any]:
    """Run the tests in an environment.

    Returns:
        `skipped`, why it cannot be; or `code`, the exit code of pytest, or of pip if it could not install,
        `seconds` of both, `counts` by outcome, `failed`, the names of the tests that did, and `output`, the
        end of what was printed, if more is wrong than that tests failed.
    """
    if (why := environment.missing()) is not None:
        return {"skipped": why}
    started = time.monotonic()
    try:
        with _python_of(environment) as python:
            # -rfE: the summary is read, and PYTEST_ADDOPTS may ask for another.
            done = _call([python, "-m", "pytest", *arguments, "-rfE"], environment.variables)
    except subprocess.CalledProcessError as installing:
        done = subprocess.CompletedProcess(installing.cmd, installing.returncode, installing.stdout)
    summary = read_summary(done.stdout)
    tests_failed = done.returncode == 1 and summary["failed"]
    return {
        "code": done.returncode,
        "seconds": round(time.monotonic() - started),
        **summary,
        **({"output": done.stdout[-3000:]} if done.returncode != 0 and not tests_failed else {}),
    }


def read_summary(output: str) -> dict[str, Any]:
    """Read from what pytest printed how many tests passed, failed and so on, and which failed."""
    summaries = _SUMMARY.findall(output)  # not the last line: libraries may print as they end
    counts = re.findall(r"(\d+) ([a-z]+)", summaries[-1]) if summaries else []
    return {
        "counts": {word.rstrip("s"): int(count) for count, word in counts},
        "failed": re.findall(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE),
    }


def lowest(project: dict[str, Any]) -> list[str]:
    """Give constraints that hold each dependency at its lower bound.

    Args:
        project: the table of that name in pyproject.toml.
    """
    extras = project["optional-dependencies"].values()
    entries = [*project["dependencies"], *(entry for extra in extras for entry in extra)]
    bounds = [_BOUND.match(entry) for entry in entries if not entry.startswith(project["name"])]
    return [f"{bound[1]}=={bound[2]}" for bound in bounds if bound]


@contextmanager
def _python_of(environment: Environment) -> Iterator[str]:
    """Give the Python of an environment, for as long as it is needed."""
    if environment.versions == "installed":
        yield sys.executable
        return
    with tempfile.TemporaryDirectory(prefix="portable-") as scratch:
        _call([environment.python, "-m", "venv", scratch]).check_returncode()
        python = str(Path(scratch) / ("Scripts" if os.name == "nt" else "bin") / "python")
        constraints = Path(scratch) / "constraints.txt"
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        constraints.write_text("\n".join(lowest(project) if environment.versions == "oldest" else []))
        # Not quietly: pip would say that there is a conflict, and not of what.
        install = [python, "-m", "pip", "install", "--progress-bar=off", "--disable-pip-version-check"]
        _call([*install, "--constraint", str(constraints), "--editable", f"{ROOT}[dev]"]).check_returncode()
        yield python


def _call(command: list[str], variables: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command in the project's folder, and keep what it prints."""
    return subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | (variables or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )


def _version_of(python: str) -> str | None:
    done = subprocess.run([python, "--version"], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def _show(name: str, result: dict[str, Any]) -> None:
    if "skipped" in result:
        print(f"{name:<14}skipped: {result['skipped']}", flush=True)
        return
    counts = ", ".join(f"{count} {outcome}" for outcome, count in result["counts"].items())
    print(f"{name:<14}{counts}; {result['seconds']} s, exit code {result['code']}", flush=True)
    for test in result["failed"]:
        print(f"  {test}", flush=True)
    if "output" in result:
        print(result["output"], flush=True)


if __name__ == "__main__":
    sys.exit(main())
