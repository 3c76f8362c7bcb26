"""The unit of systemd and the container, where there is what reads them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[3] / "deploy"


def _builder() -> str | None:
    """Give a program that can build a container now."""
    for program in ("podman", "docker"):
        if shutil.which(program) is None:
            continue
        if subprocess.run([program, "info"], capture_output=True, check=False).returncode == 0:
            return program
    return None


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_takes_the_unit() -> None:
    unit = DEPLOY / "embed-serve.service"
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    about_it = [line for line in done.stderr.splitlines() if "embed-serve.service" in line]
    assert not [line for line in about_it if "nknown" in line or "nvalid" in line or "ailed to parse" in line]


def test_the_unit_lets_requests_in_flight_be_answered() -> None:
    from enroll.serve.server import _LEAVE_SECONDS

    lines = dict(
        line.split("=", 1)
        for line in (DEPLOY / "embed-serve.service").read_text().splitlines()
        if "=" in line and not line.startswith("#")
    )
    assert lines["KillSignal"] == "SIGINT"
    assert int(lines["TimeoutStopSec"]) > _LEAVE_SECONDS
    assert lines["SuccessExitStatus"] == "130"


@pytest.mark.slow
def test_the_container_is_built() -> None:
    if (builder := _builder()) is None:
        pytest.skip("neither podman nor docker can build here")
    root = DEPLOY.parent
    command = [builder, "build", "-f", str(DEPLOY / "Containerfile"), "-t", "embed-test", str(root)]
    subprocess.run(command, check=True)
    done = subprocess.run([builder, "run", "--rm", "embed-test", "--help"], capture_output=True, check=True)
    assert b"REST API" in done.stdout
