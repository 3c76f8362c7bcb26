"""A real Milvus server on 127.0.0.1, from the wheel `milvus`, for tests and for scripts/bench_milvus.py."""

from __future__ import annotations

import atexit
import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tests.ports import free_ports

_START = 120.0  # seconds; it takes 5 to 10
_PR_SET_PDEATHSIG = 1


class MilvusServer:
    """One server: its data in `folder`, its ports free ones. It dies with the process that started it."""

    def __init__(self, folder: Path, tick: int = 200, closed: bool = False) -> None:
        """Lay the server out, without starting it.

        Args:
            folder: for its data, its logs and its unpacked program.
            tick: milliseconds between its time ticks, which strongly consistent reads wait for.
            closed: whether it asks for a password; root's is Milvus.
        """
        import milvus  # it is only there on Linux

        self.folder = folder.absolute()
        layout = milvus.MilvusServerConfig(data_dir=str(self.folder))
        ports = free_ports(len(layout.configurable_items) + 1)
        for item in layout.configurable_items:
            if item.endswith("_port"):
                layout.configs[item] = ports.pop()
        layout.set("proxy.timeTickInterval", tick)
        layout.set("common.security.authorizationEnabled", str(closed).lower())
        layout.resolve()
        self.port, self._health = layout.get("proxy_port"), ports.pop()
        self._own_etcd(free_ports(2))
        milvus._initialize_data_files(self.folder)
        self._process: subprocess.Popen[bytes] | None = None

    def _own_etcd(self, ports: list[int]) -> None:
        """Give the etcd inside it other ports than everyone's, so that several servers run side by side."""
        client, peer = (f"http://127.0.0.1:{port}" for port in ports)
        urls = {"listen-client-urls": client, "advertise-client-urls": client, "listen-peer-urls": peer}
        urls |= {"initial-advertise-peer-urls": peer, "initial-cluster": f"default={peer}"}
        settings = self.folder / "configs" / "etcd.yaml"
        settings.write_text("".join(f"{key}: {value}\n" for key, value in urls.items()))
        milvus_yaml = self.folder / "configs" / "milvus.yaml"
        text = milvus_yaml.read_text().replace(
            "  use:\n    embed: true", f"  config:\n    path: {settings}\n  use:\n    embed: true"
        )
        milvus_yaml.write_text(text)

    def address(self, name: str) -> str:
        """Give the address of a gallery there."""
        return f"milvus://127.0.0.1:{self.port}/{name}"

    def start(self) -> None:
        """Start it and wait until it says that it is healthy."""
        program = self.folder / "bin" / "milvus"
        surroundings = os.environ | {
            "DEPLOY_MODE": "STANDALONE",
            "METRICS_PORT": str(self._health),
            "MILVUS_RUN_DIR": str(self.folder / "run"),
            "LD_LIBRARY_PATH": str(program.parent),
        }
        with (self.folder / "logs" / "output.log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, "run", "standalone"],
                cwd=self.folder,
                env=surroundings,
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_parent,
            )
        until = time.monotonic() + _START
        while not self._is_healthy():
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"Milvus did not start; see {self.folder / 'logs'}")
            time.sleep(0.1)

    def _is_healthy(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self._health}/healthz", timeout=5) as answer:
                return b"OK" in answer.read()
        except (URLError, OSError):
            return False

    def kill(self) -> None:
        """End it by SIGKILL, as a power cut of the program would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Let it hang: it keeps its connections and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """End the pause."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


@cache
def shared_server() -> MilvusServer:
    """Give the server of a run of tests, started by the first that asks; who kills it starts it again."""
    folder = Path(tempfile.mkdtemp(prefix="milvus-"))
    server = MilvusServer(folder)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(server.kill)
    server.start()
    return server


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
