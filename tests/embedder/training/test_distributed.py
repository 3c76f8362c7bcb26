"""Training on several devices and processes; each run is a program of its own, on_processes.py."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import safetensors.numpy

from embedder import Extractor, load_image
from embedder._internal.runtime import Progress
from embedder.backend import load_backend
from embedder.config import TrainConfig
from embedder.config.devices import DeviceConfig
from embedder.errors import UsageError
from embedder.faces.crop import Cropping, load_cropper
from embedder.folders import scan_folder
from embedder.model_folder import load_manifest, read_part
from embedder.training.data.crop_store import Crops
from embedder.training.data.photos import HeldOutSplit, read_photos
from embedder.training.processes import (
    ProcessGroup,
    Totals,
    broadcast_file,
    check_same_options,
    connect,
    listing,
    merge_photo_reports,
    numbered,
    people_of_this_process,
)
from embedder.training.run import train
from embedder.training.validation import check_sharing
from tests.conftest import save_people
from tests.ports import free_port

PROGRAM = Path(__file__).with_name("on_processes.py")
EMBED = Path(__file__).with_name("on_train.py")
SMALL = "--trunk small-cnn --input-size 32 --batch-size 8 --learning-rate 1e-3 --epochs 3"
QUICK = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"  # to compile
LIMIT = 600  # seconds, so that nothing can hang


class Runs:
    """Starts processes of one run and waits for them."""

    def __init__(self, folder: Path, tmp_path: Path) -> None:
        self._folder, self.out = folder, tmp_path
        self.started: list[subprocess.Popen[str]] = []

    def start(self, kind: str, processes: int = 1, devices: int = 1, **extra: str) -> list[Path]:
        address = f"127.0.0.1:{free_port()}"
        outs = []
        for process in range(processes):
            outs.append(self.out / f"{kind}-{processes}-{devices}-{process}.npz")
            arguments = [address, str(processes), str(process), kind, self._folder, outs[-1]]
            self._start([PROGRAM, *arguments], devices, extra)
        return outs

    def train(self, model: str, *options: str, processes: int = 1, devices: int = 1, **extra: str) -> Path:
        """`embed train`; process k above 0 gets a model folder that cannot be made."""
        address = f"127.0.0.1:{free_port()}"
        for process in range(processes):
            place = self.out / model if process == 0 else Path(__file__) / "not a folder"
            several = [
                "--coordinator",
                address,
                "--num-processes",
                str(processes),
                "--process-id",
                str(process),
            ]
            arguments = [*SMALL.split(), *options, *(several if processes > 1 else [])]
            self._start([EMBED, "train", self._folder, "--model", place, *arguments], devices, extra)
        return self.out / model

    def _start(self, program: list[Path | str], devices: int, extra: dict[str, str]) -> None:
        env = {
            **os.environ,
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices} {QUICK}",
            "JAX_PLATFORMS": "cpu",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "PYTHONPATH": str(Path(__file__).parents[3]),
            **extra,
        }
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        self.started.append(subprocess.Popen([sys.executable, *program], env=env, **pipes))

    def wait(self) -> list[tuple[int, str]]:
        """Exit code of each, and what it said."""
        done = [(run, *run.communicate(timeout=LIMIT)) for run in self.started]
        self.started = []
        return [(run.returncode, out + error) for run, out, error in done]

    def succeed(self) -> list[str]:
        """What each said, if all went well."""
        done = self.wait()
        assert not any(code for code, _ in done), "\n\n".join(said[-3000:] for _, said in done)
        return [said for _, said in done]


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
    runs.succeed()
    assert difference(first, second) == 0
    assert tell("two processes, data", difference(first, alone)) < 1e-4
    read = [set(np.load(file)["read"]) for file in (first, second)]
    assert not read[0] & read[1]
    assert len(read[0] | read[1]) == 8


def tell(what: str, figure: float) -> float:
    """For docs/scale.md: `pytest -s` shows it."""
    print(f"\n{what}: {figure:.1e}")  # noqa: T201
    return figure


def saved(model: Path) -> list[np.ndarray]:
    tensors = safetensors.numpy.load(read_part(model, load_manifest(model), "weights"))
    return [tensors[name] for name in sorted(tensors)]


@pytest.mark.slow
def test_a_run_on_jax_that_was_interrupted_ends_as_an_unbroken_one(runs: Runs, small_people: Path) -> None:
    options = "--backend", "jax", "--hold-out", "0"  # no one held out: the last epoch is kept
    runs.train("unbroken", *options)
    runs.train("broken", *options, STOP="2 KeyboardInterrupt")
    assert [code for code, _ in runs.wait()] == [0, 130]
    first = saved(runs.out / "broken")
    runs.train("broken", *options, "--resume")
    (said,) = runs.succeed()
    assert ("Epoch 1/3" in said, "Epoch 3/3" in said) == (False, True)
    unbroken, broken = (saved(runs.out / name) for name in ("unbroken", "broken"))
    assert all(np.array_equal(a, b) for a, b in zip(unbroken, broken, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(first, broken, strict=True))
    model = runs.out / "broken"
    assert load_manifest(model).training["backend"] == "jax"
    photo = load_image(next(small_people.glob("*/*.png")))
    assert Extractor.load(model).embed([photo]).shape == (1, 128)


@pytest.mark.slow
def test_two_processes_train_with_distillation_fail_resume_and_save_one_model(
    runs: Runs, small_people: Path
) -> None:
    options = "--distillation", "1", "--keep-trained", "--hold-out", "0.5"
    runs.train("model", *options, processes=2, STOP="2 ValueError")
    assert [code != 0 for code, _ in runs.wait()] == [True, True]
    assert (runs.out / "model" / "checkpoint.safetensors").exists()
    model = runs.train("model", *options, "--resume", processes=2)
    said, also = runs.succeed()
    assert "8 people, 32 photos: learning from 4, 4 held out" in said
    assert "Epoch 2/3" in also
    assert "Epoch 1/3" not in also
    assert "Process 0 saved the model" in also
    manifest = load_manifest(model)
    counted = {"people": 8, "photos": 32, "held_out_people": 4, "processes": 2}
    assert manifest.training.items() >= counted.items()
    assert (manifest.strangers.people, manifest.strangers.photos) == (4, 16)
    assert sorted(path.suffix for path in model.iterdir() if path.stem.startswith("train")) == [
        ".csv",
        ".png",
        ".toml",
    ]
    assert Extractor.load(model).manifest == manifest


CLASSIFIER = {"softmax/kernel", "softmax/bias"}
BY_CLASS = {
    "softmax": CLASSIFIER,
    "center": {*CLASSIFIER, "center/centers/embeddings"},
    "dense-center": {*CLASSIFIER, "softmax/centers"},
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("data", {"head": "center"}),
        ("data", {"head": "triplet-cosine", "memory": 8}),
        *[("classes", {"head": head}) for head in BY_CLASS],
    ],
    ids=str,
)
def test_two_devices_of_one_machine_end_with_the_same_weights(
    runs: Runs, kind: str, options: dict[str, object]
) -> None:
    (two,) = runs.start(kind, devices=2, OPTIONS=json.dumps(options))
    # Adam makes much of rounding where softmax alone has little left to learn, so classes go with data.
    other, devices = ("data", 2) if kind == "classes" else ("parts", 1)
    (plain,) = runs.start(other, devices=devices, OPTIONS=json.dumps(options))
    runs.succeed()
    assert tell(f"two devices, {kind} against {other}, {options}", difference(two, plain)) < 1e-4
    split = set(np.load(two)["split"])
    expected = BY_CLASS[str(options["head"])] if kind == "classes" else set()
    moments = {
        f"{name.replace('/', '_')}_{moment}" for name in CLASSIFIER for moment in ("momentum", "velocity")
    }
    found = {path for path in split if not path.startswith("layerwise_adam/")}
    assert found == expected
    assert {path.partition("/")[2] for path in split - found} == (moments if expected else set())


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


def together(*acts: Callable[[ProcessGroup], object]) -> list[object]:
    """What each process, a thread here, makes of its group."""
    address = "127.0.0.1", free_port()
    results: list[object] = [None] * len(acts)

    def run(index: int) -> None:
        group = connect(address, len(acts), index, 20, lambda line: None)
        with group.until_done():
            try:
                results[index] = acts[index](group)
            except Exception as error:  # not to be reported to the others, whose process is this one
                results[index] = error

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    return results


def test_peers_hear_what_each_has_said_in_order() -> None:
    def act(group: ProcessGroup) -> object:
        rows = np.full((group.index, 2), group.index, np.float32)
        return (
            group.count,
            group.gather_json(group.index),
            group.first(b"%d" % group.index),
            group.gather_rows(rows)[:, 0].tolist(),
            group.numbering(2)[1],
        )

    assert together(act, act, act) == [(3, [0, 1, 2], b"0", [1, 2, 2], 6)] * 3
    assert together(*[lambda group: group.numbering(group.index + 1)] * 3) == [(0, 6), (1, 6), (3, 6)]


def test_one_process_is_its_own_peer() -> None:
    group = ProcessGroup()
    with group.until_done():
        assert (group.count, group.gather(b"a"), group.first(b"b")) == (1, [b"a"], b"b")


def test_processes_with_other_options_are_refused_everywhere() -> None:
    def act(group: ProcessGroup) -> str:
        with pytest.raises(
            UsageError, match=r"--process-id: expected the same options.*in process 1 seed is 1"
        ) as e:
            check_same_options(group, {"seed": group.index, "epochs": 3})
        return str(e.value)

    assert len(set(together(act, act))) == 1


def test_the_list_of_photos_is_the_same_wherever_the_folder_lies(tmp_path: Path) -> None:
    here, there = (scan_folder(save_people(tmp_path / name, 3, 2)) for name in ("here", "there"))
    assert listing(here) == listing(there)
    (tmp_path / "there" / "p02" / "1.png").rename(tmp_path / "there" / "p02" / "2.png")
    assert listing(here) != listing(scan_folder(tmp_path / "there"))


def test_every_person_is_read_by_one_process_and_the_photos_are_balanced(tmp_path: Path) -> None:
    for people, photos in ((3, 9), (7, 2)):
        save_people(tmp_path / str(photos), people, photos)
        for person in (tmp_path / str(photos)).iterdir():
            (tmp_path / "all").mkdir(exist_ok=True)
            person.rename(tmp_path / "all" / f"{photos}{person.name}")
    folder = scan_folder(tmp_path / "all")

    def act(group: ProcessGroup) -> object:
        return people_of_this_process(folder, group)

    shares = together(act, act, act)
    assert sorted(len(share.samples) for share in shares) == [13, 13, 15]  # type: ignore[attr-defined]
    names = [name for share in shares for name in share.identities]  # type: ignore[attr-defined]
    assert sorted(names) == sorted(folder.identities)


def test_people_are_numbered_and_counted_across_processes(tmp_path: Path) -> None:
    """Process 0 has two people, process 1 three; one each is held out."""

    def act(group: ProcessGroup) -> object:
        count = group.index + 2
        folder = scan_folder(save_people(tmp_path / str(group.index), count, 2))
        photos = read_photos(folder, load_cropper(Cropping("whole", 32)), Progress())
        split = HeldOutSplit(np.flatnonzero(photos.labels), np.flatnonzero(photos.labels == 0))
        labels, people = numbered(photos.labels, count, group)
        return group.gather_rows(labels).tolist(), people, Totals.of(photos, split, group)

    everyone = [0, 0, 1, 1, 2, 2, 3, 3, 4, 4], 5, Totals(5, 10, 2)
    assert together(act, act) == [everyone] * 2


def test_clean_crops_survive_uniting(tmp_path: Path) -> None:
    folder = scan_folder(save_people(tmp_path / "people", 6, 2))

    def act(group: ProcessGroup) -> object:
        own = read_photos(
            people_of_this_process(folder, group), load_cropper(Cropping("whole", 32)), Progress()
        )
        clean = Crops.of(own.crops.take(range(len(own.labels))) // 2)
        return merge_photo_reports(replace(own, clean=clean), group).clean is clean

    assert together(act, act) == [True, True]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"head": "arcface"}, "--parallel: classes are shared with --head .* got --head arcface"),
        ({"head": "triplet"}, "got --head triplet; use --parallel data"),
        ({"head": "mine.py:head"}, "got --head mine.py:head"),
        (
            {"head": "center", "loss": "softened"},
            "only by --loss crossentropy, got --loss softened",
        ),
    ],
)
def test_heads_whose_weights_would_not_be_shared_by_class_are_refused(
    options: dict[str, str], reason: str, tmp_path: Path
) -> None:
    devices = DeviceConfig(parallel="classes")
    with pytest.raises(UsageError, match=reason):
        train(tmp_path, tmp_path / "model", TrainConfig(trunk="small-cnn", **options), devices=devices)
    check_sharing(TrainConfig(**options), DeviceConfig(parallel="data"))


def test_a_file_of_process_0_is_handed_round(tmp_path: Path) -> None:
    for place in ("0", "1"):
        (tmp_path / place).mkdir()
    (tmp_path / "0" / "state").write_bytes(b"epoch 3")

    def act(group: ProcessGroup) -> object:
        for name in ("state", "not there"):
            broadcast_file(tmp_path / str(group.index) / name, group)
        return [file.read_bytes() for file in (tmp_path / str(group.index)).iterdir()]

    assert together(act, act) == [[b"epoch 3"]] * 2


def test_all_processes_know_what_was_rejected_and_the_digest_of_all(tmp_path: Path) -> None:
    folder = scan_folder(save_people(tmp_path / "people", 6, 2))
    (tmp_path / "people" / "p03" / "0.png").write_bytes(b"no picture")

    def act(group: ProcessGroup) -> object:
        cropper = load_cropper(Cropping("whole", 32))
        photos = merge_photo_reports(
            read_photos(people_of_this_process(folder, group), cropper, Progress()), group
        )
        return photos.digest, sorted(entry.path.parent.name for entry in photos.rejected)

    first, second = together(act, act)
    assert first == second
    assert first[1] == ["p03", "p03"]  # type: ignore[index]


def test_a_coordinator_that_is_away_is_an_error_in_time() -> None:
    began = time.monotonic()
    with pytest.raises(
        UsageError, match=r"--coordinator: expected process 0 at 127.0.0.1:\d+, and no one answ"
    ):
        connect(("127.0.0.1", free_port()), 2, 1, 1.0, lambda line: None)
    assert time.monotonic() - began < 10


def test_processes_that_do_not_come_are_named() -> None:
    with pytest.raises(UsageError, match=r"--num-processes: expected 3 at .* missing: process 1, 2"):
        connect(("127.0.0.1", free_port()), 3, 0, 0.5, lambda line: None)


def test_a_port_in_use_is_refused() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        pytest.raises(UsageError, match="--coordinator: expected an address of this machine and a free port"),
    ):
        connect(other.getsockname()[:2], 2, 0, 1.0, lambda line: None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_processes": 2}, "--num-processes: 2 of them need --coordinator"),
        ({"num_processes": 2, "process_id": 2, "coordinator": "a:1"}, "--process-id: expected 0 to 1"),
        ({"coordinator": "a"}, "--coordinator: expected HOST:PORT, got 'a'"),
        ({"coordinator": "a:99999"}, "--coordinator: expected HOST:PORT"),
        ({"parallel": "data", "backend": "tensorflow"}, "--backend: expected jax"),
        ({"parallel": "classes", "num_processes": 2, "coordinator": "a:1"}, "--parallel: classes are shared"),
        ({"parallel": "all"}, "--parallel: expected one of no, data, classes, got 'all'"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        DeviceConfig(**options)  # type: ignore[arg-type]


def test_an_address_of_ipv6_is_taken_apart() -> None:
    assert DeviceConfig(coordinator="[::1]:5000").address == ("::1", 5000)


def test_a_process_has_one_back_end() -> None:
    other = {"tensorflow": "jax", "jax": "tensorflow"}[keras.backend.backend()]
    with pytest.raises(UsageError, match=f"--backend: expected {other}, and this process has already loaded"):
        load_backend(DeviceConfig(backend=other))
