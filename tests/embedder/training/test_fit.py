"""The second training, on all people, and how often networks are traced."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import pytest

from embedder.errors import DivergedError
from embedder.training import checkpoint, heldout
from embedder.training.heldout import Score
from embedder.training.run import train
from embedder.trunks import find_trunk
from enroll.cli.train import describe_training
from tests.embedder.training.test_run import Hook, KilledError, raiser, same
from tests.embedder.training.tiny import TINY

AGAIN = replace(TINY, epochs=2, refit=True)


class Second(Hook):
    """Acts in the second training only."""

    def __init__(self, epoch: int, batch: int, act: Callable[[], None]) -> None:
        super().__init__(epoch, batch, lambda: act() if self.again else None)

    @property
    def again(self) -> bool:
        return any("Training again" in line for line in self.said)


@pytest.fixture
def scores(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the held-out people say what the test wants; the last is said from then on."""

    def say(*values: float) -> None:
        left = list(values)
        monkeypatch.setattr(
            heldout, "score", lambda *_: Score(left.pop(0) if len(left) > 1 else left[0], 1.0, 1.0, 8)
        )

    return say


@pytest.mark.usefixtures("quick_saving")
def test_ends_with_the_weights_of_a_run_on_everyone(
    scores: Callable[..., None], small_people: Path, tmp_path: Path
):
    scores(0.1, 0.2, 0.9)
    manifest = train(small_people, tmp_path / "again", AGAIN).manifest
    train(small_people, tmp_path / "all", replace(AGAIN, hold_out=0.0))
    scores(0.1, 0.2, 0.9)
    once = train(small_people, tmp_path / "once", replace(AGAIN, refit=False)).manifest
    assert same(tmp_path / "again", tmp_path / "all")
    assert not same(tmp_path / "again", tmp_path / "once")
    assert manifest.strangers == once.strangers
    assert manifest.strangers is None or manifest.strangers.photos == 8
    assert manifest.training["refitted"]
    assert not once.training["refitted"]
    assert any("retrained on all people" in line for line in describe_training(manifest))
    assert not any("retrained on all people" in line for line in describe_training(once))
    assert not list((tmp_path / "again").glob("checkpoint*"))


@pytest.mark.usefixtures("quick_saving")
def test_does_not_happen_where_training_did_not_help(
    scores: Callable[..., None], small_people: Path, tmp_path: Path
):
    scores(0.9, 0.2)
    said = Hook()
    manifest = train(small_people, tmp_path / "model", AGAIN, progress=said).manifest
    assert manifest.training["kept_epoch"] == 0
    assert not manifest.training["refitted"]
    assert not any("Training again" in line for line in said.said)


@pytest.mark.slow
@pytest.mark.parametrize("epoch", [1, 2])
def test_a_kill_is_gone_on_from(epoch: int, scores: Callable[..., None], small_people: Path, tmp_path: Path):
    scores(0.1, 0.9)
    train(small_people, tmp_path / "whole", AGAIN)
    scores(0.1, 0.9)
    with pytest.raises(KilledError):
        train(small_people, tmp_path / "m", AGAIN, progress=Second(epoch, 2, raiser(KilledError)))
    assert (tmp_path / "m" / checkpoint.REFIT_FILE).exists() == (epoch == 2)
    said = Hook()
    result = train(small_people, tmp_path / "m", AGAIN, resume=True, progress=said)
    assert result.manifest.training["refitted"]
    assert sum("Epoch" in line for line in said.said) == AGAIN.epochs - epoch + 1
    assert same(tmp_path / "whole", tmp_path / "m")


@pytest.mark.slow
@pytest.mark.parametrize("epoch", [1, 2])
def test_ctrl_c_keeps_the_first_training(
    epoch: int, scores: Callable[..., None], small_people: Path, tmp_path: Path
):
    scores(0.1, 0.9)
    train(small_people, tmp_path / "once", replace(AGAIN, refit=False))
    scores(0.1, 0.9)
    stop = Second(epoch, 2, lambda: signal.raise_signal(signal.SIGINT))
    stopped = train(small_people, tmp_path / "m", AGAIN, progress=stop)
    assert stopped.interrupted
    assert not stopped.manifest.training["refitted"]
    assert same(tmp_path / "once", tmp_path / "m")
    assert train(small_people, tmp_path / "m", AGAIN, resume=True).manifest.training["refitted"]


@pytest.mark.slow
def test_a_new_run_does_not_go_on_from_an_older_second_training(
    scores: Callable[..., None], small_people: Path, tmp_path: Path
):
    scores(0.1, 0.9)
    with pytest.raises(KilledError):
        train(small_people, tmp_path / "m", AGAIN, progress=Second(2, 1, raiser(KilledError)))
    with pytest.raises(KilledError):
        train(small_people, tmp_path / "m", AGAIN, progress=Hook(2, 1, raiser(KilledError)))
    assert not (tmp_path / "m" / checkpoint.REFIT_FILE).exists()


@pytest.mark.slow
def test_patience_that_has_run_out_stays_so(scores: Callable[..., None], small_people: Path, tmp_path: Path):
    patient = replace(AGAIN, epochs=6, patience=2)
    scores(0.1, 0.9, 0.2)
    with pytest.raises(KilledError):
        train(small_people, tmp_path / "m", patient, progress=Second(1, 1, raiser(KilledError)))
    scores(0.2)
    manifest = train(small_people, tmp_path / "m", patient, resume=True).manifest
    assert len(manifest.training["history"]) == 3
    assert manifest.training["best_epoch"] == 1


@pytest.mark.slow
def test_divergence_in_it_is_told(scores: Callable[..., None], small_people: Path, tmp_path: Path):
    scores(0.1, 0.9)

    def diverge() -> None:
        raise DivergedError("training diverged")

    with pytest.raises(DivergedError):
        train(small_people, tmp_path / "m", AGAIN, progress=Second(1, 1, diverge))
    assert not (tmp_path / "m" / "manifest.json").exists()


@pytest.mark.parametrize("head", ["center", "dense-center"])
def test_a_run_traces_the_trunk_once_to_use_it_and_once_to_convert_it(
    small_people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: str
):
    """However many photos are left over for the last batch; training models are traced once each."""
    functional = type(find_trunk("small-cnn").build(32))
    call, traced = functional.call, Counter[str]()

    def counted(model: keras.Model, *arguments: object, **options: object) -> object:
        traced["trunk" if model.name == "small-cnn" else "training"] += 1
        return call(model, *arguments, **options)

    monkeypatch.setattr(functional, "call", counted)
    # 24 and 8 photos, then 32; 8 to a batch.
    config = replace(AGAIN, trunk="small-cnn", head=head, keep_trained=True, hold_out=0.25)
    assert train(small_people, tmp_path / "m", config).manifest.training["refitted"]
    assert traced == {"trunk": 2, "training": 2}
