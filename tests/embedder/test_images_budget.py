"""Pictures that are read side by side share their memory: all that is alive is counted."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from embedder._internal import runtime
from embedder.images import load_image, open_frames, reading
from embedder.images.budget import MemoryBudget
from tests.embedder.pictures import PICTURE, encode

PIXELS = PICTURE.nbytes


class Watched(MemoryBudget):
    """Notes what others held whenever a thread came to wait."""

    def __init__(self, total: int) -> None:
        super().__init__(total)
        self.came: list[tuple[int, int]] = []
        self.second_wait = threading.Event()

    def wait(self, thread: int, size: int) -> None:
        self.came.append((size, self.held))
        if len(self.came) == 3:
            self.second_wait.set()
        super().wait(thread, size)


@pytest.fixture
def png(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    path.write_bytes(encode(PICTURE, "PNG"))
    return path


def test_who_waits_for_memory_holds_no_file(png: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = png.stat().st_size
    need = 2 * size + 7 * PICTURE.shape[0] * PICTURE.shape[1]
    budget = Watched(need)
    reads: list[int] = []
    read = reading.read_image_file
    monkeypatch.setattr(reading, "_BUDGET", budget)
    monkeypatch.setattr(reading, "read_image_file", lambda *given: reads.append(budget.held) or read(*given))
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(load_image(png)))
    with budget.hold(100):
        thread.start()
        assert budget.second_wait.wait(30)
        assert budget.held == 100
    thread.join()
    assert budget.came == [(100, 0), (2 * size, 100), (need, 100)]
    assert reads == [100 + 2 * size, need]  # read again, when there was room
    assert np.array_equal(found[0], PICTURE)
    assert budget.held == 0


def test_a_file_is_counted_while_its_picture_is_used(png: Path) -> None:
    frames = open_frames(png)
    next(frames)
    assert reading._BUDGET.held == 2 * png.stat().st_size + PIXELS
    frames.close()
    assert reading._BUDGET.held == 0


def test_memory_grows_where_there_is_room_or_nobody_else() -> None:
    budget, other = MemoryBudget(100), threading.get_ident() + 1
    with budget.hold(10) as share:
        budget.wait(other, 20)
        assert share.grow(80)
        assert not share.grow(81)
        assert budget.held == 100
        budget.give_back(other, 20)
        assert share.grow(1000)  # alone
        budget.wait(threading.get_ident(), 1)
        budget.wait(threading.get_ident(), 1)
        assert budget.held == 1002
    budget.give_back(threading.get_ident(), 2)
    assert budget.held == 0


def test_threads_take_memory_in_their_order() -> None:
    budget, order = MemoryBudget(100), []
    come = [threading.Event() for _ in range(2)]

    def work(number: int, size: int) -> None:
        come[number].set()
        with budget.hold(size):
            order.append(number)

    with budget.hold(50):
        large = threading.Thread(target=work, args=(0, 90))
        large.start()
        while not budget._line:
            come[0].wait(1)
        small = threading.Thread(target=work, args=(1, 20))  # would fit, but came later
        small.start()
        while len(budget._line) < 2:
            come[1].wait(1)
    large.join()
    small.join()
    assert order == [0, 1]


def test_memory_is_given_back_once_a_second_thread_reads() -> None:
    shared: list[int] = []
    budget = MemoryBudget(100, lambda: shared.append(1))
    for _ in range(2):
        with budget.hold(10):
            assert not shared
    for _ in range(2):
        thread = threading.Thread(target=lambda: budget.wait(threading.get_ident(), 1))
        thread.start()
        thread.join()
    assert shared == [1]


@pytest.mark.parametrize("name", ["MALLOC_ARENA_MAX", "GLIBC_TUNABLES"])
def test_settings_of_the_c_library_stay(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime.ctypes, "CDLL", lambda _: pytest.fail("changed"))
    monkeypatch.setenv(name, "1")
    runtime.give_memory_back()


EIGHT = """
import sys, threading
from embedder.images import load_image
def work():
    for _ in range(2):
        load_image(sys.argv[1])
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("size", [(6000, 4000), (3600, 2400)])
def test_eight_threads_stay_within_the_promise(size: tuple[int, int], tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (400, 600, 3), dtype=np.uint8)
    Image.fromarray(noise).resize(size).save(tmp_path / "photo.jpg", quality=92)
    command = [sys.executable, "-c", EIGHT, str(tmp_path / "photo.jpg")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) * 1024 < 512e6
