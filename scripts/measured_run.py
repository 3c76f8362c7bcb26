"""What a command costs: seconds, processor seconds, and the most memory that it held.

A process passes the size it had on to the command it starts, as the least that the command can have held. So
commands are started by this file itself, run by a bare Python; nothing heavy may be imported here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cost:
    """What a command took.

    Attributes:
        wall: seconds from its start to its end.
        cpu: processor seconds, of all its threads.
        peak_mb: largest resident size, in MB of 10^6 bytes; of the largest process, if it starts others.
        code: its exit code.
        output: what it wrote to standard output.
    """

    wall: float
    cpu: float
    peak_mb: float
    code: int
    output: str


def as_installed() -> dict[str, str]:
    """Return the environment of a command that may keep its bytecode, as installing it does.

    With PYTHONDONTWRITEBYTECODE, which containers often set, a copy of the source is compiled at every start.
    """
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def run_measured(command: list[str], codes: tuple[int, ...] = (0,)) -> Cost:
    """Run a command.

    Args:
        command: as for `subprocess.run`.
        codes: exit codes that are no failure.

    Raises:
        RuntimeError: it ended with another exit code.
    """
    with tempfile.TemporaryDirectory() as scratch:
        out, errors = Path(scratch) / "out", Path(scratch) / "errors"
        launcher = [sys.executable, "-I", "-S", __file__, str(out), str(errors), *command]
        done = subprocess.run(launcher, stdout=subprocess.PIPE, text=True, check=True)
        facts = json.loads(done.stdout)
        if facts["code"] not in codes:
            said = errors.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{' '.join(command[:6])} ... ended with {facts['code']}: {said}")
        return Cost(**facts, output=out.read_text(errors="replace"))


def _launch(out: str, errors: str, *command: str) -> None:
    with Path(out).open("wb") as output, Path(errors).open("wb") as complaints:
        start = time.perf_counter()
        child = subprocess.Popen(command, stdout=output, stderr=complaints, env=as_installed())
        _, status, used = os.wait4(child.pid, 0)
        wall = time.perf_counter() - start
    facts = {
        "wall": wall,
        "cpu": used.ru_utime + used.ru_stime,
        "peak_mb": used.ru_maxrss * 1024 / 1e6,
        "code": os.waitstatus_to_exitcode(status),
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    _launch(*sys.argv[1:])
