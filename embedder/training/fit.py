"""Trunk + head + photos -> the trunk of the best epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import keras

from embedder._internal.runtime import Progress
from embedder.callbacks import (
    AfterEpoch,
    KeepBest,
    MoveParameter,
    ShowProgress,
    StopDivergence,
    StopEarly,
    describe,
    plain_logs,
    ramp,
)
from embedder.config import FilledConfig
from embedder.heads import build_head
from embedder.heads.stem import build_stem
from embedder.optimizers import build_optimizer, freeze
from embedder.training.checkpoint import Checkpoints, State
from embedder.training.data.augmentation import Material, prepare
from embedder.training.data.batches import Batches, Sampler, default_sampling, say_few_photos
from embedder.training.data.photos import Photos, Split
from embedder.training.distributed import (
    Crew,
    SharedBatches,
    padded_classes,
    padded_means,
    this_process_alone,
)
from embedder.training.heldout import HeldOut, Score, Weights, blended, is_better, weights_of
from embedder.training.shares import numbered, own_seed


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
        refitted: whether the weights are those of a second training, on everyone.
    """

    scores: list[Score] = field(default_factory=list)
    best_epoch: int = 0
    kept_epoch: int = 0
    helped: bool = False
    history: list[dict[str, float]] = field(default_factory=list)
    interrupted: bool = False
    refitted: bool = False


def fit_trunk(
    crew: Crew,
    photos: Photos,
    split: Split,
    config: FilledConfig,
    pretrained: bool,
    checkpoints: Checkpoints,
    resume: bool,
    progress: Progress,
    extra: Sequence[keras.callbacks.Callback] = (),
) -> Outcome:
    """Train the trunk of `crew` in place with a head on it, and leave it with the weights of its best epoch.

    If that epoch is no better on the held-out people than the trunk was, the trunk is left as it was, unless
    `config.keep_trained`. Better means a higher TPIR, or the same and a higher rank-1; separation does not
    count, as it rises whenever one trains.

    Args:
        crew: the trunk with its starting weights, and who trains it.
        photos: all photos of this process.
        split: which of them to learn from and which people to score on.
        config: resolved: learning rate and epochs are numbers.
        pretrained: whether the trunk's features mean something already; then the head starts from them.
        checkpoints: where the run leaves its state after each epoch.
        resume: go on from there.
        progress: hears of every batch.
        extra: callbacks of Keras that listen too.

    Raises:
        DivergedError: the losses left the numbers.
        UsageError: nothing to resume, or options contradict each other.
    """
    trunk, peers = crew.trunk, crew.peers
    with this_process_alone():
        held_out = HeldOut(photos, split, config, peers)
        material = prepare(crew.eye, photos, split, config, pretrained)
    sampler = _sampler(material, config, crew, progress)
    freeze(trunk, config.freeze)
    labels, people = numbered(material.labels, material.people, peers)
    head = build_head(config, build_stem(config, trunk), padded_classes(people, crew.machines))

    def epochs_from(epoch: int = 0) -> Batches | SharedBatches:
        own = own_seed(config.seed, peers)
        return crew.shared(Batches(material.views, labels, head.targets, sampler, own, epoch))

    head.model.compile(
        optimizer=build_optimizer(config, trunk, len(epochs_from())),
        # With TensorFlow on 2 CPU cores a step of face-resnet takes .22 s, under XLA .33 s.
        jit_compile=keras.backend.backend() == "jax",
        **head.compile,
    )
    head.model.optimizer.build(head.model.trainable_variables)

    untrained = trunk.get_weights()

    def now() -> Weights:
        return blended(untrained, trunk.get_weights(), config.blend)

    def measure() -> Score:
        with this_process_alone(), weights_of(crew.eye, now()):
            return held_out.score(crew.eye)

    keep = KeepBest(trunk, measure, is_better, weights=now) if len(held_out) else None
    state = State(head, keep)
    if resume:
        state.restore(checkpoints)
    else:
        if material.means is not None and head.start_from:
            head.start_from(padded_means(peers.gather_rows(material.means), crew.machines))
        if keep:
            keep.measure_first()
            progress.say(f"Before training: {_in_words(keep.scores[0], config.target_fpir)}")

    saved = resume

    def after_epoch(epoch: int, logs: dict[str, float]) -> None:
        state.history.append(plain_logs(logs))
        told = f"  held out: {_in_words(keep.scores[-1], config.target_fpir)}" if keep else ""
        progress.say(f"Epoch {epoch}/{config.epochs}  {describe(logs)}{told}")
        if peers.is_first:
            state.save(checkpoints)
        nonlocal saved
        saved = True

    batches = epochs_from(len(state.history))
    show = ShowProgress(progress, config.epochs, len(batches))
    keeping = [keep] if keep else []
    if keep and config.patience:
        keeping.append(StopEarly(keep, config.patience))
    moving = [
        MoveParameter(name, variable, ramp(float(variable), config.ramp))
        for name, variable in head.parameters.items()
        if config.ramp
    ]
    done = len(state.history)
    enough = keep and config.patience and done - keep.best_epoch >= config.patience and done > 0
    interrupted = False
    try:
        head.model.fit(
            batches,
            epochs=done if enough else config.epochs,
            initial_epoch=done,
            shuffle=False,  # the batches have their own order
            verbose=0,
            callbacks=[show, StopDivergence(), *moving, *keeping, *extra, AfterEpoch(after_epoch)],
        )
    except KeyboardInterrupt:
        if not saved or peers.count > 1:  # the others cannot be asked to go back
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
    trunk.set_weights(now())
    last = len(state.history)
    return Outcome([], last, last, False, state.history, interrupted)


def _sampler(material: Material, config: FilledConfig, crew: Crew, progress: Progress) -> Sampler:
    """Draw this process's part of each batch."""
    sampling = config.sampling or default_sampling(config.head)
    if sampling == "people" and (few := say_few_photos(material.labels, config.photos_per_person)):
        progress.say(few)
    size, seed = config.batch_size // crew.peers.count, own_seed(config.seed, crew.peers)
    return Sampler(material.labels, size, seed, sampling, config.photos_per_person)


def _in_words(now: Score, fpir: float) -> str:
    return f"TPIR {now.tpir:.3f} at FPIR {fpir:g}, rank-1 {now.rank1:.3f}"
