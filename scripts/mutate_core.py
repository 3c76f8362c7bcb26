"""Change the core in one place at a time, and see whether its tests notice (mutation testing).

The module's tests run on every change of it, in a process of their own that is forked from one which has
loaded the libraries; no file is written. A mutant is killed if a test fails or takes
too long, else it is alive.

mutate_core.toml says which tests each module has, and which mutants are known to behave as the code does.
Prints for each module its mutants, how many were killed, and those alive with the line and the change; last
one JSON line. The exit code is 1 if 5 % or more of the mutants that are not listed as equivalent are alive,
or if a listed one is no mutant any more.

    python scripts/mutate_core.py [MODULE ...]
"""

from __future__ import annotations

import argparse
import gc
import importlib
import importlib.abc
import importlib.util
import json
import os
import shlex
import signal
import sys
import time
import tomllib
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from mutation_operators import Mutant, mutants

ROOT = Path(__file__).parents[1]
MOST_ALIVE = 0.05  # share of the mutants that are not equivalent
# Loaded once, before the forks; never a module of ours.
LIBRARIES = (
    *("numpy", "scipy.stats", "sklearn.linear_model", "sklearn.neighbors", "PIL.Image"),
    *("pytest", "hypothesis.extra.numpy", "hypothesis.internal.conjecture.engine"),
)
PYTEST = (
    *("-x", "-q", "-p", "no:cacheprovider", "-p", "no:unraisableexception"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
)
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class _Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from changed source."""

    def __init__(self, path: str, source: str) -> None:
        self.path, self.source = path, source
        self.name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
        if name != self.name:
            return None
        package = [str((ROOT / self.path).parent)] if self.path.endswith("/__init__.py") else None
        return importlib.util.spec_from_file_location(
            name, ROOT / self.path, loader=self, submodule_search_locations=package
        )

    def create_module(self, spec: ModuleSpec) -> None:
        """Let Python make it."""

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self.source, str(ROOT / self.path), "exec"), module.__dict__)


def passes(path: str, source: str, tests: Sequence[str], seconds: float) -> bool:
    """Say whether all tests pass with this source of a module, in a fork of this process."""
    child = os.fork()
    if not child:
        code = 3
        try:
            os.setpgid(0, 0)
            null = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(null, stream)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, seconds)
            sys.meta_path.insert(0, _Changed(path, source))
            code = int(sys.modules["pytest"].main([*tests, *PYTEST]))
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1] == 0


def run(path: str, tests: Sequence[str], equivalent: set[tuple[str, str, str]]) -> dict[str, Any]:
    """Try every mutant of a module that is not listed; prints those that are alive."""
    source = (ROOT / path).read_text()
    started = time.perf_counter()
    if not passes(path, source, tests, seconds=600):
        raise SystemExit(f"{path}: its tests fail without any change: python -m pytest {shlex.join(tests)}")
    limit = 5 + 4 * (time.perf_counter() - started)
    every = list(mutants(source))
    known = {(mutant.function, mutant.old, mutant.new) for mutant in every} & equivalent
    tried = [mutant for mutant in every if (mutant.function, mutant.old, mutant.new) not in known]
    alive = [mutant for mutant in tried if _survives(path, mutant, tests, limit)]
    stale = sorted(equivalent - known)
    for function, old, new in stale:
        print(f"{path}: listed as equivalent, but no mutant of it: {function}: {old} -> {new}", flush=True)
    figures = {"mutants": len(every), "killed": len(tried) - len(alive), "equivalent": len(known)}
    figures |= {"alive": len(alive), "stale": len(stale)}
    print(f"{path}: " + ", ".join(f"{value} {name}" for name, value in figures.items()), flush=True)
    return figures


def _survives(path: str, mutant: Mutant, tests: Sequence[str], limit: float) -> bool:
    alive = passes(path, mutant.source, tests, limit)
    if alive:
        print(f"{path}:{mutant.line} {mutant.function}\n  - {mutant.old}\n  + {mutant.new}", flush=True)
    return alive


def main() -> int:
    """Run the modules that are named, or all."""
    settings = tomllib.loads((ROOT / "scripts/mutate_core.toml").read_text())
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="such as enroll/calibration.py")
    chosen = parser.parse_args().modules or list(settings["tests"])
    if unknown := sorted(set(chosen) - set(settings["tests"])):
        parser.error(f"{', '.join(unknown)}: not in mutate_core.toml; known: {', '.join(settings['tests'])}")
    os.chdir(ROOT)
    os.environ.update(dict.fromkeys(THREADS, "1"))  # one thread can be forked
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # every fork would load what no test of a module needs
    sys.path.insert(0, str(ROOT))
    alone = all("--noconftest" in settings["tests"][path] for path in chosen)
    for name in LIBRARIES if alone else (*LIBRARIES, "keras"):
        importlib.import_module(name)
    # The same examples for every mutant, and few; the first that fails will do, not the simplest.
    hypothesis = sys.modules["hypothesis"]
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile(
        "few", deadline=None, derandomize=True, max_examples=25, database=None, phases=phases
    )
    hypothesis.settings.load_profile("few")
    gc.freeze()  # what is loaded is not searched for garbage in every fork
    figures = {}
    for path in chosen:
        of_module = [entry for entry in settings.get("equivalent", []) if entry["module"] == path]
        listed = {tuple(change) for entry in of_module for change in entry["changes"]}
        figures[path] = run(path, settings["tests"][path], listed)
    total = {name: sum(one[name] for one in figures.values()) for name in next(iter(figures.values()))}
    share = total["alive"] / max(1, total["killed"] + total["alive"])
    print(json.dumps({"modules": figures, "total": total, "share_alive": round(share, 4)}))
    return int(share >= MOST_ALIVE or total["stale"] > 0)


if __name__ == "__main__":
    raise SystemExit(main())
