"""A Ray cluster of two nodes with one core each on this machine, for tests and measurements.

Run as a program it starts both on 127.0.0.2 and 127.0.0.3, says how they are reached in a line of JSON, and
takes a line `kill`: then the second node ends at once, with all that runs on it. At the end of its input it
stops everything. `RAY_TMPDIR` names the folder that Ray writes to.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HEAD, OTHER = "127.0.0.2", "127.0.0.3"
_STORE = 80_000_000  # bytes of each node's object store
_PATIENCE = 60  # seconds for an end in good order


class Nodes:
    """Nodes that run.

    Attributes:
        address: for `RAY_ADDRESS`.
        client: for Ray Client, `ray://…`.
        pid: of the process that all of theirs are below.
        folder: that they write to, which their command lines name.
    """

    def __init__(self, program: subprocess.Popen[str], address: str, client: str, folder: str) -> None:
        self._program, self.pid = program, program.pid
        self.address, self.client, self.folder = address, client, folder

    def kill_one(self) -> None:
        """End the node that is not the head at once, and wait until it has ended."""
        self._say("kill")
        assert self._program.stdout is not None
        assert self._program.stdout.readline() == "killed\n"

    def _say(self, line: str) -> None:
        assert self._program.stdin is not None
        self._program.stdin.write(line + "\n")
        self._program.stdin.flush()


@contextmanager
def two_nodes(nodes: int = 2) -> Iterator[Nodes]:
    """Start the cluster, or a single node, in a process of its own; at the end nothing of it runs."""
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:  # short: a socket's path has 107 letters
        environment = {**os.environ, "RAY_TMPDIR": folder, "RAY_USAGE_STATS_ENABLED": "0"}
        environment["RAY_idle_worker_killing_time_threshold_ms"] = "600000"  # with the model they loaded
        environment["PYTHONPATH"] = str(Path(__file__).parents[1])  # for the workers
        program = subprocess.Popen(
            [sys.executable, __file__, str(nodes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        try:
            assert program.stdout is not None
            facts = json.loads(program.stdout.readline())
            yield Nodes(program, facts["address"], facts["client"], folder)
        finally:
            assert program.stdin is not None
            program.stdin.close()
            program.wait(_PATIENCE)
            if program.stdout is not None:
                program.stdout.close()


def left_over(nodes: Nodes) -> list[str]:
    """Command lines of processes of a cluster that still run."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = place.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has ended
            continue
        if nodes.folder in line:
            found.append(line)
    return found


def main() -> None:
    """Run the cluster until standard input ends."""
    from ray.cluster_utils import Cluster

    with socket.create_server((HEAD, 0)) as server:
        port = server.getsockname()[1]
    common = {"num_cpus": 1, "object_store_memory": _STORE, "include_dashboard": False}
    cluster = Cluster(
        initialize_head=True,
        head_node_args={**common, "node_ip_address": HEAD, "ray_client_server_port": port},
    )
    other = cluster.add_node(**common, node_ip_address=OTHER) if sys.argv[1] == "2" else None
    _tell(json.dumps({"address": cluster.address, "client": f"ray://{HEAD}:{port}"}))
    for line in sys.stdin:
        if line == "kill\n" and other is not None:
            cluster.remove_node(other, allow_graceful=False)
            other = None
            _tell("killed")
    cluster.shutdown()


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
