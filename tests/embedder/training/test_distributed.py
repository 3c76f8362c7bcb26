"""Training on several devices and processes; each run is a program of its own, on_processes.py."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np
import pytest

from embedder.config import TrainConfig
from embedder.config.machines import Machines
from embedder.errors import UsageError
from embedder.faces.crops import load_cropper
from embedder.folders import scan_folder
from embedder.progress import Progress
from embedder.training.backend import load_backend
from embedder.training.distributed import agree, hand_round, share_of, unite
from embedder.training.peers import Peers, meet
from embedder.training.photos import read_photos
from tests.conftest import save_people

PROGRAM = Path(__file__).with_name("on_processes.py")
LIMIT = 600  # seconds, so that nothing can hang


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Runs:
    """Starts processes of one run and waits for them."""

    def __init__(self, folder: Path, tmp_path: Path) -> None:
        self._folder, self._out = folder, tmp_path
        self.started: list[subprocess.Popen[str]] = []

    def start(self, kind: str, processes: int = 1, devices: int = 1, **extra: str) -> list[Path]:
        address = f"127.0.0.1:{free_port()}"
        env = {
            **os.environ,
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "PYTHONPATH": str(Path(__file__).parents[3]),
            **extra,
        }
        outs = []
        for process in range(processes):
            outs.append(self._out / f"{kind}-{processes}-{devices}-{process}.npz")
            arguments = [address, str(processes), str(process), kind, self._folder, outs[-1]]
            self.started.append(
                subprocess.Popen(
                    [sys.executable, PROGRAM, *arguments], env=env, stderr=subprocess.PIPE, text=True
                )
            )
        return outs

    def wait(self) -> list[tuple[int, str]]:
        """Exit code and standard error of each."""
        done = [(run, run.communicate(timeout=LIMIT)[1]) for run in self.started]
        self.started = []
        return [(run.returncode, said) for run, said in done]


@pytest.fixture
def runs(small_people: Path, tmp_path: Path) -> Iterator[Runs]:
    runs = Runs(small_people, tmp_path)
    yield runs
    for run in runs.started:
        run.kill()
        run.communicate()


def weights(file: Path) -> list[np.ndarray]:
    with np.load(file) as out:
        return [out[name] for name in out.files if name.startswith("arr_")]


def difference(a: Path, b: Path) -> float:
    return max(float(np.abs(x - y).max()) for x, y in zip(weights(a), weights(b), strict=True))


@pytest.mark.slow
def test_two_processes_end_with_the_same_weights_as_one(runs: Runs) -> None:
    """Each reads its own people; one that sees the same batches comes to the same, up to rounding."""
    first, second = runs.start("data", processes=2)
    (alone,) = runs.start("parts")
    assert [code for code, _ in runs.wait()] == [0, 0, 0]
    assert difference(first, second) == 0
    assert difference(first, alone) < 1e-4
    read = [set(np.load(file)["read"]) for file in (first, second)]
    assert not read[0] & read[1]
    assert len(read[0] | read[1]) == 8


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["data", "classes"])
def test_two_devices_of_one_machine_end_with_the_same_weights_as_one(runs: Runs, kind: str) -> None:
    (two,) = runs.start(kind, devices=2)
    (alone,) = runs.start("parts")
    assert [code for code, _ in runs.wait()] == [0, 0]
    assert difference(two, alone) < 1e-4
    split = set(np.load(two)["split"])
    by_class = {"kernel", "bias", "centers", "kernel_momentum", "kernel_velocity"}
    assert {path for path in split if "softmax" in path} == split
    assert bool(split) == (kind == "classes")
    if split:
        assert by_class <= {path.split("/")[-1].removeprefix("softmax_") for path in split}


@pytest.mark.slow
@pytest.mark.parametrize("process", [0, 1])
@pytest.mark.parametrize("how", ["killed", "error"])
def test_when_one_process_ends_the_others_end_too(runs: Runs, how: str, process: int) -> None:
    runs.start("data", processes=2, DIE=how, DIES=str(process))
    ended = runs.wait()
    code, said = ended[1 - process]
    assert ended[process][0] == (9 if how == "killed" else 1)
    assert code != 0
    if how == "error":
        assert f"process {process} stopped: no more; this process ends too. --resume" in said
    elif process:  # when process 0 is killed, JAX sees it first and aborts
        assert "process 1 is gone" in said


def together(*acts: Callable[[Peers], object]) -> list[object]:
    """What each process, a thread here, makes of its peers."""
    address = "127.0.0.1", free_port()
    results: list[object] = [None] * len(acts)

    def run(index: int) -> None:
        peers = meet(address, len(acts), index, 20, lambda line: None)
        with peers.until_done():
            try:
                results[index] = acts[index](peers)
            except Exception as error:  # not to be told to the others, whose process is this one
                results[index] = error

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    return results


def test_peers_hear_what_each_has_said_in_order() -> None:
    def act(peers: Peers) -> object:
        rows = np.full((peers.index, 2), peers.index, np.float32)
        return (
            peers.count,
            peers.gather_json(peers.index),
            peers.first(b"%d" % peers.index),
            peers.gather_rows(rows)[:, 0].tolist(),
            peers.numbering(2)[1],
        )

    assert together(act, act, act) == [(3, [0, 1, 2], b"0", [1, 2, 2], 6)] * 3
    assert together(*[lambda peers: peers.numbering(peers.index + 1)] * 3) == [(0, 6), (1, 6), (3, 6)]


def test_one_process_is_its_own_peer() -> None:
    peers = Peers()
    with peers.until_done():
        assert (peers.count, peers.gather(b"a"), peers.first(b"b")) == (1, [b"a"], b"b")


def test_processes_with_other_options_are_refused_everywhere() -> None:
    def act(peers: Peers) -> str:
        with pytest.raises(
            UsageError, match=r"--process: expected the same options.*in process 1 seed is 1"
        ) as e:
            agree(peers, {"seed": peers.index, "epochs": 3})
        return str(e.value)

    assert len(set(together(act, act))) == 1


def test_every_person_is_read_by_one_process_and_the_photos_are_balanced(tmp_path: Path) -> None:
    for people, photos in ((3, 9), (7, 2)):
        save_people(tmp_path / str(photos), people, photos)
        for person in (tmp_path / str(photos)).iterdir():
            (tmp_path / "all").mkdir(exist_ok=True)
            person.rename(tmp_path / "all" / f"{photos}{person.name}")
    folder = scan_folder(tmp_path / "all")

    def act(peers: Peers) -> object:
        return share_of(folder, peers)

    shares = together(act, act, act)
    assert sorted(len(share.samples) for share in shares) == [13, 13, 15]  # type: ignore[attr-defined]
    names = [name for share in shares for name in share.identities]  # type: ignore[attr-defined]
    assert sorted(names) == sorted(folder.identities)


def test_a_file_of_process_0_is_handed_round(tmp_path: Path) -> None:
    for place in ("0", "1"):
        (tmp_path / place).mkdir()
    (tmp_path / "0" / "state").write_bytes(b"epoch 3")

    def act(peers: Peers) -> object:
        for name in ("state", "not there"):
            hand_round(tmp_path / str(peers.index) / name, peers)
        return [file.read_bytes() for file in (tmp_path / str(peers.index)).iterdir()]

    assert together(act, act) == [[b"epoch 3"]] * 2


def test_all_processes_know_what_was_rejected_and_the_digest_of_all(tmp_path: Path) -> None:
    folder = scan_folder(save_people(tmp_path / "people", 6, 2))
    (tmp_path / "people" / "p03" / "0.png").write_bytes(b"no picture")

    def act(peers: Peers) -> object:
        cropper = load_cropper("whole", 32, TrainConfig().finding)
        photos = unite(read_photos(share_of(folder, peers), cropper, Progress()), peers)
        return photos.digest, sorted(entry.path.parent.name for entry in photos.rejected)

    first, second = together(act, act)
    assert first == second
    assert first[1] == ["p03", "p03"]  # type: ignore[index]


def test_a_coordinator_that_is_away_is_an_error_in_time() -> None:
    began = time.monotonic()
    with pytest.raises(
        UsageError, match=r"--coordinator: expected process 0 at 127.0.0.1:\d+, and no one answ"
    ):
        meet(("127.0.0.1", free_port()), 2, 1, 1.0, lambda line: None)
    assert time.monotonic() - began < 10


def test_processes_that_do_not_come_are_named() -> None:
    with pytest.raises(UsageError, match=r"--processes: expected 3 at .* missing: process 1, 2"):
        meet(("127.0.0.1", free_port()), 3, 0, 0.5, lambda line: None)


def test_a_port_in_use_is_refused() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        pytest.raises(UsageError, match="--coordinator: expected an address of this machine and a free port"),
    ):
        meet(other.getsockname()[:2], 2, 0, 1.0, lambda line: None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"processes": 2}, "--processes: 2 of them need --coordinator"),
        ({"processes": 2, "process": 2, "coordinator": "a:1"}, "--process: expected 0 to 1"),
        ({"coordinator": "a"}, "--coordinator: expected HOST:PORT, got 'a'"),
        ({"coordinator": "a:99999"}, "--coordinator: expected HOST:PORT"),
        ({"parallel": "data", "backend": "tensorflow"}, "--backend: expected jax"),
        ({"parallel": "classes", "processes": 2, "coordinator": "a:1"}, "--parallel: classes are shared"),
        ({"parallel": "all"}, "--parallel: expected one of no, data, classes, got 'all'"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Machines(**options)  # type: ignore[arg-type]


def test_an_address_of_ipv6_is_taken_apart() -> None:
    assert Machines(coordinator="[::1]:5000").address == ("::1", 5000)


def test_a_process_has_one_back_end() -> None:
    other = {"tensorflow": "jax", "jax": "tensorflow"}[keras.backend.backend()]
    with pytest.raises(UsageError, match=f"--backend: expected {other}, and this process has already loaded"):
        load_backend(Machines(backend=other))
