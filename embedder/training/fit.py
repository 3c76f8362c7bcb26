"""Trunk + head + photos -> the trunk of the best epoch."""

from __future__ import annotations

from dataclasses import dataclass, field

import keras
import numpy as np
from numpy.typing import NDArray

from embedder.config import TrainConfig
from embedder.errors import DivergedError, ModelError
from embedder.extractor import unit_vectors
from embedder.heads import build_head
from embedder.progress import Progress
from embedder.training.batches import Batches
from embedder.training.callbacks import (
    ADVICE,
    AfterEpoch,
    KeepBest,
    ShowProgress,
    StopDivergence,
    WarmUp,
    describe,
    plain_logs,
)
from embedder.training.checkpoint import Checkpoints
from embedder.training.compile import features_of
from embedder.training.held_out import Score, is_better, score
from embedder.training.photos import Photos, Split
from embedder.training.state import State
from embedder.training.stem import build_stem


@dataclass
class Outcome:
    """What a run came to.

    Attributes:
        scores: of the held-out people after each epoch, from 0, the trunk before training; empty if no one
            was held out.
        best_epoch: the best one trained; the last one if no one was held out.
        kept_epoch: the epoch whose weights the trunk now has: the best one, or 0 if training did not help.
        helped: whether the best epoch did better on the held-out people than the trunk before training.
        history: the log of each epoch, from 1.
        interrupted: whether Ctrl-C ended it.
    """

    scores: list[Score] = field(default_factory=list)
    best_epoch: int = 0
    kept_epoch: int = 0
    helped: bool = False
    history: list[dict[str, float]] = field(default_factory=list)
    interrupted: bool = False


def embed_chips(trunk: keras.Model, chips: NDArray[np.uint8], mirror: bool) -> NDArray[np.float32]:
    """Unit vectors (n, dim) of chips, as the extractor will give them."""
    features = features_of(trunk, chips)
    if mirror:
        features = np.concatenate([features, features_of(trunk, chips[:, :, ::-1])])
    return unit_vectors(features, mirror)


def fit_trunk(
    trunk: keras.Model,
    photos: Photos,
    split: Split,
    config: TrainConfig,
    pretrained: bool,
    checkpoints: Checkpoints,
    resume: bool,
    progress: Progress,
) -> Outcome:
    """Train `trunk` in place with a head on it, and leave it with the weights of its best epoch.

    If that epoch is no better on the held-out people than the trunk was, the trunk is left as it was, unless
    `config.keep_trained`. Better means a higher TPIR, or the same and a higher rank-1; separation does not
    count, as it rises whenever one trains.

    Args:
        trunk: with its starting weights.
        photos: all photos.
        split: which of them to learn from and which people to score on.
        config: resolved: learning rate and epochs are numbers.
        pretrained: whether the trunk's features mean something already; then the head starts from them.
        checkpoints: where the run leaves its state after each epoch.
        resume: go on from there.
        progress: hears of every batch.

    Raises:
        DivergedError: the losses left the numbers.
        UsageError: nothing to resume.
    """
    assert config.epochs is not None
    assert config.learning_rate is not None
    held_labels = photos.labels[split.held_out]
    held_chips = photos.chips[split.held_out]

    def measure() -> Score:
        try:
            vectors = embed_chips(trunk, held_chips, config.mirror)
        except ModelError as error:
            raise DivergedError(f"training diverged: {error}; {ADVICE}") from error
        return score(vectors, held_labels, config.target_fpir)

    people, classes = np.unique(photos.labels[split.train], return_inverse=True)
    labels = classes.astype(np.int32)
    chips = photos.chips[split.train]
    head = build_head(config, build_stem(config, trunk), len(people))
    head.model.compile(
        optimizer=keras.optimizers.Adam(WarmUp(config.learning_rate, config.warmup)),
        jit_compile=False,  # on 2 CPU cores a step of face-resnet takes .22 s, under XLA .33 s
        **head.compile,
    )
    head.model.optimizer.build(head.model.trainable_variables)

    untrained = trunk.get_weights()
    keep = KeepBest(trunk, measure, is_better) if len(held_labels) else None
    state = State(head, keep)
    if resume:
        state.restore(checkpoints)
    else:
        if pretrained and head.start_from:
            head.start_from(_class_means(trunk, chips, labels))
        if keep:
            keep.measure_first()
            progress.say(f"Before training: {_in_words(keep.scores[0], config.target_fpir)}")

    saved = resume

    def after_epoch(epoch: int, logs: dict[str, float]) -> None:
        state.history.append(plain_logs(logs))
        held_out = f"  held out: {_in_words(keep.scores[-1], config.target_fpir)}" if keep else ""
        progress.say(f"Epoch {epoch}/{config.epochs}  {describe(logs)}{held_out}")
        state.save(checkpoints)
        nonlocal saved
        saved = True

    batches = Batches(chips, labels, head.targets, config.batch_size, config.seed, len(state.history))
    show = ShowProgress(progress, config.epochs, len(batches))
    interrupted = False
    try:
        head.model.fit(
            batches,
            epochs=config.epochs,
            initial_epoch=len(state.history),
            shuffle=False,  # the batches have their own order
            verbose=0,
            callbacks=[show, StopDivergence(), *([keep] if keep else []), AfterEpoch(after_epoch)],
        )
    except KeyboardInterrupt:
        if not saved:
            raise
        interrupted = True
        state.restore(checkpoints)  # whatever was under way is undone
    finally:
        show.close()

    if keep:
        helped = keep.scores[keep.best_epoch].shares > keep.scores[0].shares
        kept = keep.best_epoch if helped or config.keep_trained else 0
        trunk.set_weights(keep.weights if kept else untrained)
        return Outcome(keep.scores, keep.best_epoch, kept, helped, state.history, interrupted)
    last = len(state.history)
    return Outcome([], last, last, False, state.history, interrupted)


def _in_words(now: Score, fpir: float) -> str:
    return f"TPIR {now.tpir:.3f} at FPIR {fpir:g}, rank-1 {now.rank1:.3f}"


def _class_means(
    trunk: keras.Model, chips: NDArray[np.uint8], labels: NDArray[np.int32]
) -> NDArray[np.float32]:
    features = features_of(trunk, chips)
    return np.stack([features[labels == label].mean(axis=0) for label in range(labels.max() + 1)])
