"""Pictures and models that tests share; everything is generated or comes from wheels."""

from __future__ import annotations

import gc
import hashlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import safetensors.numpy
import typer.testing
from numpy.typing import NDArray
from PIL import Image

from embedder._internal.runtime import import_keras, own_streams
from embedder.built_in import load_built_in
from embedder.config import TrainConfig
from embedder.faces.crop import Crop
from embedder.folders import write_dataset
from embedder.images import load_image, resize_to_square
from embedder.model_folder import Manifest, load_manifest, read_part
from embedder.strangers import StrangerDistances
from embedder.training.run import train
from embedder.trunks import find_trunk
from tests.connections import watch_connections

# How busy the machine is proves nothing. `make test` tries the same examples in every run, so that a change
# is judged by what it changes; `make test-slow` tries others each time.
hypothesis.settings.register_profile("same", deadline=None, derandomize=True)
hypothesis.settings.register_profile("others", deadline=None)
hypothesis.settings.load_profile("same")
watch_connections()
# CliRunner declares all commands at each call, which takes longer than most commands.
typer.testing._get_command = cache(typer.testing._get_command)
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it


TOY_STRANGERS = StrangerDistances(
    mean=0.3,
    mean_sd=0.03,
    log_spread=-2.3,
    log_spread_sd=0.1,
    skewness=-0.3,
    skewness_sd=0.2,
    shrink=0.02,
    shrink_sd=0.01,
    person_sd=0.03,
    freedom=6.0,
    people=10,
    photos=100,
    sets=1,
)


class ToyExtractor:
    """Stands in for a model: a picture's vector is its 4 x 4 thumbnail, centered and scaled to length 1."""

    def __init__(self, name: str = "toy", strangers: StrangerDistances | None = TOY_STRANGERS) -> None:
        self.manifest = Manifest(
            trunk=name,
            head="none",
            input_size=16,
            crop="whole",
            landmarks=None,
            detector=None,
            mirror=False,
            dim=48,
            extractor=hashlib.sha256(name.encode()).hexdigest(),
            weights=hashlib.sha256(name.encode()).hexdigest(),
            strangers=strangers,
        )
        self.embedded: list[int] = []  # pictures per call, for tests that count

    dim = 48

    @property
    def fingerprint(self) -> str:
        return self.manifest.fingerprint

    def crops(self, image: NDArray[np.uint8]) -> list[Crop]:
        return [Crop(resize_to_square(image, 16))]

    def why_missed(self, image: NDArray[np.uint8]) -> str | None:
        return None

    def embed(self, images: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        self.embedded.append(len(images))
        rows = [
            resize_to_square(resize_to_square(image, 16), 4).reshape(-1).astype(np.float32) - 127.25
            for image in images
        ]
        vectors = np.array(rows, np.float32).reshape(len(images), 48)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def pattern(identity: int, photo: int, side: int = 24) -> NDArray[np.uint8]:
    """A generated picture: a pattern of the identity's own, with the photo's own noise."""
    base = np.random.default_rng([7, identity]).integers(0, 256, (4, 4, 3))
    noise = np.random.default_rng([8, identity, photo]).normal(0, 12, (side, side, 3))
    picture = np.kron(base, np.ones((side // 4, side // 4, 1))) + noise
    return picture.clip(0, 255).astype(np.uint8)


def save_people(folder: Path, people: int, photos: int, side: int = 24) -> Path:
    """Write generated people as a labelled folder."""
    for identity in range(people):
        for photo in range(photos):
            path = folder / f"p{identity:02d}" / f"{photo}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pattern(identity, photo, side)).save(path)
    return folder


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep tests out of the user's cache. Processes of a run share one: the built-in model is made once."""
    base = tmp_path_factory.getbasetemp()
    cache = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared-cache"
    cache.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMBED_CACHE", str(cache))
        yield


@pytest.fixture(scope="session")
def yunet_network() -> bytes:
    """The compiled face detector."""
    return load_built_in().parts["detector"]


def pytest_configure(config: pytest.Config) -> None:
    """Import Keras before any test does, so that its chatter is held back."""
    only_shares_out = config.getoption("numprocesses", None) and not hasattr(config, "workerinput")
    if not only_shares_out:
        with own_streams():
            import_keras()


def pytest_collection_finish() -> None:
    """Exempt what is loaded by now from garbage collection: to go through it took half a second each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def fresh_keras() -> Iterator[None]:
    """Forget the networks of a test; kept, they make each following training slower."""
    yield
    import keras

    keras.utils.clear_session(free_memory=False)  # going through all that is loaded takes half a second


def day_that_lasts(
    now: Callable[[], datetime] = datetime.now, sleep: Callable[[float], object] = time.sleep
) -> date:
    """Return today; where it ends within two minutes, wait for the next day first."""
    moment = now()
    midnight = datetime.combine(moment.date() + timedelta(days=1), datetime.min.time())
    if midnight - moment < timedelta(minutes=2):
        sleep((midnight - moment).total_seconds() + 1)
    return now().date()


@pytest.fixture
def today() -> date:
    """The day, which does not end during the test."""
    return day_that_lasts()


@pytest.fixture
def toy() -> ToyExtractor:
    return ToyExtractor()


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Six generated people with five photos each."""
    return save_people(tmp_path / "people", 6, 5)


@pytest.fixture(scope="session")
def orl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The 40 people of ORL as a labelled folder."""
    folder = tmp_path_factory.mktemp("data") / "orl"
    write_dataset("orl", folder)
    return folder


@pytest.fixture(scope="session")
def heads(orl: Path) -> NDArray[np.uint8]:
    """The first two photos of each of the 40 people, (80, 112, 92) grey."""
    files = [file for person in sorted(orl.iterdir()) for file in sorted(person.iterdir())[:2]]
    return np.stack([load_image(file)[:, :, 0] for file in files])


SMALL = TrainConfig(trunk="small-cnn", input_size=32, epochs=3, batch_size=8, learning_rate=1e-3)


@pytest.fixture(scope="session")
def small_people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight generated people with four photos each, for training."""
    return save_people(tmp_path_factory.mktemp("small") / "people", 8, 4)


@pytest.fixture(scope="session")
def model(small_people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder trained on generated people; read it, do not change it."""
    folder = tmp_path_factory.mktemp("model") / "embed-model"
    train(small_people, folder, replace(SMALL, keep_trained=True))
    return folder


@pytest.fixture(scope="session")
def trained_trunk(model: Path) -> Any:
    """The Keras network of `model`, from its raw tensors."""
    trunk = find_trunk("small-cnn").build(SMALL.input_size)
    tensors = safetensors.numpy.load(read_part(model, load_manifest(model), "weights"))
    trunk.set_weights([tensors[name] for name in sorted(tensors)])
    return trunk
