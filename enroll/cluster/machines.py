"""Connect to a Ray cluster, and process blocks of photos there with Ray Data.

Ray Data does not run in a process that is connected by Ray Client (`ray://`), so each window is one task in
the cluster, and that task runs Ray Data: docs/decisions/020-ray.md.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedder.errors import EmbedError, MissingPackageError, UsageError
from enroll.cluster.spread import LostError, missing_there
from enroll.cluster.worker import Task, code_digest, look, other_code

if TYPE_CHECKING:
    import pyarrow as pa

AUTO, CLIENT = "auto", "ray://"
_VARIABLE = "RAY_ADDRESS"
_PATIENCE = 5.0  # seconds to wait for the first sign of a cluster; Ray itself waits for minutes
_TRIES = 3  # for a window whose machine is lost, and for connecting: Ray Client gives up a busy cluster early
INSTALL = "pip install 'embedder-enroll[cluster]'"


class RayMachines:
    """Submits work to the Ray cluster that this process is connected to."""

    def __init__(self, address: str) -> None:
        """Prepare; see `connect`."""
        import ray

        self.address = address
        self._ray = ray
        self._window = ray.remote(num_cpus=0, max_retries=_TRIES)(run_window)

    def workers(self) -> int:
        """The number of processors Ray has, at least 1."""
        return max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def keep(self, content: bytes) -> Any:
        """Put bytes into Ray's object store, from which each machine gets them once.

        Returns:
            A reference.
        """
        return self._ray.put(content)

    def submit(self, task: Task, blocks: Sequence[pa.Table]) -> Any:
        """Start to process a window, and return what `result` takes."""
        return self._window.remote(task, list(blocks))

    def result(self, begun: Any) -> list[pa.Table]:
        """Wait for the answers of a window.

        Raises:
            LostError: none came.
        """
        try:
            tables: list[pa.Table] = self._ray.get(begun)
        except (self._ray.exceptions.RayError, ConnectionError) as error:
            raise LostError(_first_line(error)) from error
        return tables


def run_window(task: Task, blocks: Sequence[pa.Table]) -> list[pa.Table]:
    """Process the blocks of a window by Ray Data, on all machines.

    Runs in a task of the cluster.

    Args:
        task: what to do.
        blocks: each is processed by one process with one core; a lost one is processed again by another.

    Returns:
        The answers, without those of blocks that were lost several times.
    """
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1  # the caller notices missing answers, and submits them again
    photos = ray.data.from_arrow(list(blocks))
    found = photos.map_batches(
        look, batch_size=None, batch_format="pyarrow", num_cpus=1, fn_kwargs={"task": task}
    )
    return list(found.iter_batches(batch_size=None, batch_format="pyarrow"))


def see(code: str, place: str | None) -> tuple[bool, bool]:
    """Return whether this machine has the same toolkit, and a file.

    Runs on each machine first.

    Args:
        code: digest of the caller's toolkit.
        place: path of a file, or None.
    """
    return code == code_digest(), place is None or Path(place).exists()


@contextmanager
def connect(address: str, photo: Path | None = None) -> Iterator[RayMachines]:
    """Connect to a Ray cluster, and check that its machines can do the work.

    A process that is connected stays so; else it is disconnected at the end, and a Ray that was started for
    it on this machine ends.

    Args:
        address: `ray://HOST:PORT`; or `auto`: the cluster that RAY_ADDRESS names, else the one that runs on
            this machine, else one that is started for this run.
        photo: that all machines must find at its path; None: none is needed there.

    Raises:
        MissingPackageError: Ray is not installed.
        UsageError: no such address, no one answers there, or a machine has another toolkit or not the photo.
    """
    if address != AUTO and not address.startswith(CLIENT):
        raise UsageError(f"--cluster: expected {AUTO} or {CLIENT}HOST:PORT, got {address!r}")
    if not all(map(importlib.util.find_spec, ("ray", "pyarrow"))):
        raise MissingPackageError(f"--cluster: needs Ray, which is not installed: {INSTALL}")
    where = os.environ.get(_VARIABLE, "") if address == AUTO else address
    _check_answers(where, address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster that we start sends no usage statistics
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # otherwise Ray warns of a future change
    import ray

    ours = not ray.is_initialized()
    try:
        if ours:
            _start(ray, where)
        machines = RayMachines(where or address)
        _check_machines(ray, photo)
        yield machines
    finally:
        if ours:
            with contextlib.suppress(Exception):  # the cluster may be gone
                ray.shutdown()


def _start(ray: Any, where: str) -> None:
    quiet: dict[str, Any] = {"logging_level": logging.CRITICAL, "log_to_driver": False}
    for left in reversed(range(_TRIES)):
        try:
            ray.init(where, **quiet) if where else ray.init(include_dashboard=False, **quiet)
            return
        except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            if left and isinstance(error, ConnectionError):
                continue
            reason = _first_line(error)
            raise UsageError(f"--cluster: Ray cannot be used at {where or AUTO}: {reason}") from error


def _check_answers(where: str, address: str) -> None:
    """Check that an address answers, because Ray would wait for minutes."""
    host, _, port = where.removeprefix(CLIENT).partition("/")[0].rpartition(":")
    if not host or not port.isdigit():
        if address != AUTO:
            raise UsageError(f"--cluster: expected {CLIENT}HOST:PORT, got {address!r}")
        return  # other values that Ray accepts in its variable, such as local
    try:
        socket.create_connection((host.strip("[]"), int(port)), _PATIENCE).close()
    except (OSError, OverflowError) as error:
        name = f"--cluster {address}" if address != AUTO else f"--cluster {AUTO}: {_VARIABLE}={where}"
        raise UsageError(f"{name}: expected a Ray cluster, no one answers there: {error}") from error


def _check_machines(ray: Any, photo: Path | None) -> None:
    """Check that each machine can do the work.

    Raises:
        UsageError: one cannot.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    place = None if photo is None else str(photo.absolute())
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    if not nodes:
        raise EmbedError("--cluster: expected machines with processors, the cluster has none")
    ask = ray.remote(num_cpus=0)(see)
    asked = [
        ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=True)).remote(
            code_digest(), place
        )
        for node in nodes
    ]
    for node, answer in zip(nodes, asked, strict=True):
        machine = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
        try:
            same, there = ray.get(answer)
        except ray.exceptions.RayError as error:
            if isinstance(error, ray.exceptions.WorkerCrashedError | ray.exceptions.NodeDiedError):
                continue  # its work is done by others
            raise UsageError(
                f"{machine}: expected embedder-enroll on all machines of the cluster: {_first_line(error)}"
            ) from error
        if not same:
            raise UsageError(other_code(machine))
        if not there and photo is not None:
            raise UsageError(missing_there(photo, machine))


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if len(lines) > 1 and "Error" in lines[-1] else lines[0] if lines else repr(error))[
        :500
    ]
