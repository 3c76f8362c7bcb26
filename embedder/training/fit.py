"""Train a trunk with a head on it, keep the best epoch, and train again on all people.

`Trainer.train_then_retrain` runs both trainings, `_Training.run` one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import keras
import numpy as np

from embedder._internal.runtime import Progress
from embedder.backend import compile_model, in_float32, precision
from embedder.callbacks import (
    AfterEpoch,
    BestWeights,
    ShowProgress,
    StopEarly,
    TerminateOnDivergence,
    VariableSchedule,
    describe,
    plain_logs,
    ramp,
)
from embedder.config import FilledConfig
from embedder.heads import Head, build_head, build_stem
from embedder.optimizers import build_optimizer, freeze_layers
from embedder.stranger_fit import fit_strangers
from embedder.strangers import StrangerDistances
from embedder.training.checkpoint import Checkpoints, State
from embedder.training.data.augmentation import TrainingData, prepare_training_data
from embedder.training.data.batches import (
    Batches,
    Sampler,
    default_sampling,
    say_few_photos,
    say_uneven_photos,
)
from embedder.training.data.photos import HeldOutSplit, Photos
from embedder.training.data.view_pool import from_views
from embedder.training.distributed import (
    SharedBatches,
    TrainingDevices,
    distribution,
    padded_classes,
    padded_means,
    this_process_alone,
)
from embedder.training.heldout import HeldOut, Score, Weights, interpolated, is_better, weights_of
from embedder.training.outcome import FitResult
from embedder.training.processes import Totals, numbered, own_seed
from embedder.training.share import EACH_EPOCH, Balance, HeldOutViews, choose_share, measure_shares
from embedder.training.views import Views, draw_views
from embedder.trunks import embed_crops, features_of


@dataclass(frozen=True)
class Trainer:
    """Trains a trunk twice: on some people, then on all of them.

    Attributes:
        setup: trunk with its starting weights, and the devices that train it.
        build: function that builds the trunk again, on this process alone.
        photos: photos of this process.
        totals: numbers of people and photos of all processes.
        config: options of the run.
        pretrained: whether the trunk is pretrained; the head then starts from its class means.
        progress: progress bars, advanced with every batch.
        keep_views: whether the cache of views of earlier runs is used and extended.
    """

    setup: TrainingDevices
    build: Callable[[], keras.Model]
    photos: Photos
    totals: Totals
    config: FilledConfig
    pretrained: bool
    progress: Progress
    keep_views: bool = False

    def train_then_retrain(
        self,
        split: HeldOutSplit,
        checkpoints: tuple[Checkpoints, Checkpoints],
        resume: bool,
        extra: Sequence[keras.callbacks.Callback] = (),
    ) -> tuple[FitResult, keras.Model, StrangerDistances | None]:
        """Train, and with `refit`, if that helped, train again from the start on all people.

        Strangers' distances are measured after the first training, which has held-out people.

        Args:
            split: people of the first training and held-out people.
            checkpoints: checkpoint files of the first and of the second training.
            resume: whether training goes on from the checkpoints.
            extra: further callbacks of Keras for the first training.

        Returns:
            Result of training, trunk in float32, and distribution of strangers' distances; None instead of
            the latter with less than two held-out people.

        Raises:
            DivergedError: a loss became infinite or NaN.
            UsageError: there is nothing to resume, or options contradict each other.
            KeyboardInterrupt: Ctrl-C before the first epoch ended, or in one of several processes.
        """
        first, second = checkpoints
        start = self.setup.trunk.get_weights()
        views = None
        if self.config.epochs and self.config.degrade != "none":
            views = draw_views(self.setup, self.photos, self.config, self.progress, self.keep_views)
        outcome = self._train(split, first, resume, self.config.interpolate_weights, views, extra)
        trunk = self._in_float32()
        strangers = self._strangers(trunk, split, outcome)
        if self.config.refit and outcome.kept_epoch and not outcome.interrupted and self.totals.held_out:
            outcome = self._train_on_everyone(outcome, start, second, resume, views)
            trunk = self._in_float32()
        return outcome, trunk, strangers

    def _train(
        self,
        split: HeldOutSplit,
        checkpoints: Checkpoints,
        resume: bool,
        share: float,
        views: Views | None,
        extra: Sequence[keras.callbacks.Callback] = (),
    ) -> FitResult:
        if not self.config.epochs:
            return FitResult()
        keras.utils.set_random_seed(self.config.seed)
        with precision(self.config.precision), distribution(self.setup.devices, self.config.batch_size):
            return _Training(self, split, checkpoints, share, views).run(resume, extra)

    def _train_on_everyone(
        self,
        outcome: FitResult,
        start: Weights,
        checkpoints: Checkpoints,
        resume: bool,
        views: Views | None,
    ) -> FitResult:
        """Train from the weights `start`; if interrupted, restore those of the first training."""
        self.progress.say("Training again from the start, on the people held out too")
        trunk = self.setup.trunk
        kept = trunk.get_weights()
        trunk.set_weights(start)
        self.setup.sync_local_trunk()
        everyone = HeldOutSplit(np.arange(len(self.photos.labels)), np.empty(0, np.intp))
        try:
            again = resume and checkpoints.exists()
            interrupted = self._train(everyone, checkpoints, again, outcome.share, views).interrupted
        except KeyboardInterrupt:
            if self.setup.group.count > 1:
                raise
            interrupted = True
        if interrupted:
            trunk.set_weights(kept)
        return replace(outcome, interrupted=interrupted, refitted=not interrupted)

    def _in_float32(self) -> keras.Model:
        self.setup.sync_local_trunk()
        return in_float32(self.setup.local_trunk, self.build)

    def _strangers(
        self, trunk: keras.Model, split: HeldOutSplit, outcome: FitResult
    ) -> StrangerDistances | None:
        # If the starting weights were kept, no photo was trained on, and all people count as held out.
        photos, config, group = self.photos, self.config, self.setup.group
        unseen = split.held_out if outcome.kept_epoch else np.arange(len(photos.labels))
        vectors = photos.crops.select(unseen).map(lambda block: embed_crops(trunk, block, config.mirror))
        labels, _ = numbered(photos.labels[unseen], len(photos.identities), group)
        everyone = group.gather_rows(vectors), group.gather_rows(labels)
        return fit_strangers([everyone])


class _Training:
    """Trains a trunk once, in place, with a head on it.

    Args:
        trainer: trunk with its starting weights, photos and options.
        split: photos to train on, and photos of held-out people.
        checkpoints: checkpoint file, written after each epoch.
        share: share of the trained weights in the interpolated ones that are scored and kept; 0: chosen.
        views: degraded, clean and varied views of all photos; None: the photos themselves are trained on.

    Raises:
        UsageError: options contradict each other.
    """

    def __init__(
        self,
        trainer: Trainer,
        split: HeldOutSplit,
        checkpoints: Checkpoints,
        share: float,
        views: Views | None,
    ) -> None:
        self._setup, self._config, self._progress = trainer.setup, trainer.config, trainer.progress
        self._checkpoints, self._views = checkpoints, views
        self._chooses, self._share = not share, share or EACH_EPOCH
        self._balances: list[Balance] = []
        self._before: Balance | None = None
        with this_process_alone():
            self._held_out, training_data = self._prepare(trainer, split)
        self._means = training_data.means
        self._head, self._batches = self._build(training_data)
        self._untrained = self._setup.trunk.get_weights()
        self._keep = BestWeights(self._setup.trunk, self._measure, is_better) if len(self._held_out) else None
        self._state = State(self._head, self._keep)
        self._saved = False  # whether there is a checkpoint to restore after Ctrl-C

    def run(self, resume: bool, extra: Sequence[keras.callbacks.Callback]) -> FitResult:
        """Train, and set the trunk to the weights of its best epoch.

        If that epoch is no better on the held-out people than the starting weights, these are restored,
        unless `config.keep_trained`. Better means a higher TPIR (true positive identification rate), or the
        same and a higher rank-1; separation does not count, since it rises in every training.

        Args:
            resume: whether training goes on from the checkpoint.
            extra: further callbacks of Keras.

        Raises:
            DivergedError: a loss became infinite or NaN.
            UsageError: there is nothing to resume.
            KeyboardInterrupt: Ctrl-C before the first epoch ended, or in one of several processes.
        """
        if resume:
            self._state.restore(self._checkpoints)
            self._saved = True
        else:
            self._begin()
        interrupted = self._fit(extra)
        return self._finish(interrupted)

    def _prepare(self, trainer: Trainer, split: HeldOutSplit) -> tuple[HeldOut | HeldOutViews, TrainingData]:
        """Prepare the held-out people and the training data."""
        photos, config, group = trainer.photos, self._config, self._setup.group
        if self._views is None:
            features = partial(features_of, self._setup.local_trunk)
            training_data = prepare_training_data(features, photos, split, config, trainer.pretrained)
            return HeldOut(photos, split, config, group), training_data
        pool, labels = self._views.pool, photos.labels[split.held_out]
        held_out = HeldOutViews(pool, split.held_out, labels, len(photos.identities), config, group)
        return held_out, from_views(pool, photos, split, config, trainer.pretrained)

    def _build(self, training_data: TrainingData) -> tuple[Head, Callable[[int], Batches | SharedBatches]]:
        """Build the compiled training model, and a function of the epoch that makes batches."""
        config, setup = self._config, self._setup
        sampler, own = self._sampler(training_data), own_seed(config.seed, setup.group)
        freeze_layers(setup.trunk, config.freeze)
        labels, people = numbered(training_data.labels, training_data.people, setup.group)
        trained = setup.trunk if self._views is None else self._views.cut.late
        head = build_head(config, build_stem(config, trained), padded_classes(people, setup.devices))

        def batches_from(epoch: int) -> Batches | SharedBatches:
            return setup.shared(Batches(training_data.views, labels, head.targets, sampler, own, epoch))

        optimizer = build_optimizer(config, setup.trunk, len(batches_from(0)))
        compile_model(head.model, optimizer, head.compile, head.targets(labels[sampler.epoch(0)[0]]))
        return head, batches_from

    def _sampler(self, training_data: TrainingData) -> Sampler:
        """Make the sampler of this process's part of each batch."""
        config, group = self._config, self._setup.group
        sampling = config.sampling or default_sampling(config.head, config.degrade)
        if not config.sampling and (uneven := say_uneven_photos(training_data.labels)):
            self._progress.say(uneven)
            sampling = "balanced" if sampling == "shuffled" else sampling
        if sampling == "people" and (few := say_few_photos(training_data.labels, config.photos_per_person)):
            self._progress.say(few)
        size, seed = config.batch_size // group.count, own_seed(config.seed, group)
        each, least = config.photos_per_person, config.epoch_batches
        return Sampler(training_data.labels, size, seed, sampling, each, least)

    def _now(self) -> Weights:
        return interpolated(self._untrained, self._setup.trunk.get_weights(), self._share)

    def _measure(self) -> Score:
        with this_process_alone(), weights_of(self._setup.local_trunk, self._now()):
            if isinstance(self._held_out, HeldOut):
                return self._held_out.score(self._setup.local_trunk)
            assert self._views is not None
            share = self._share if self._balances else 0.0
            self._balances.append(self._held_out.measure(self._views.features, share))
            return self._balances[-1].score

    def _begin(self) -> None:
        """Set the head to the trunk's class means, and score the starting weights."""
        if self._means is not None and self._head.init_from_class_means:
            means = self._setup.group.gather_rows(self._means)
            self._head.init_from_class_means(padded_means(means, self._setup.devices))
        if self._keep:
            self._keep.measure_first()
            self._before = self._balances[0] if self._balances else None
            self._progress.say(f"Before training, held out: {self._describe(self._keep.scores[0])}")

    def _fit(self, extra: Sequence[keras.callbacks.Callback]) -> bool:
        """Train the remaining epochs; return whether Ctrl-C stopped it, after restoring the last."""
        done = len(self._state.history)
        show = ShowProgress(self._progress, self._config.epochs, len(batches := self._batches(done)))
        try:
            self._head.model.fit(
                batches,
                epochs=done if self._had_enough(done) else self._config.epochs,
                initial_epoch=done,
                shuffle=False,  # the sampler orders the batches
                verbose=0,
                callbacks=[
                    show,
                    TerminateOnDivergence(),
                    *self._callbacks(),
                    *extra,
                    AfterEpoch(self._after_epoch),
                ],
            )
        except KeyboardInterrupt:
            if not self._saved or self._setup.group.count > 1:  # other processes cannot restore theirs
                raise
            self._state.restore(self._checkpoints)  # undoes the steps of the unfinished epoch
            return True
        finally:
            show.close()
        return False

    def _callbacks(self) -> list[keras.callbacks.Callback]:
        """Make the callbacks that schedule variables, keep the best epoch and stop early."""
        config, keep = self._config, self._keep
        callbacks: list[keras.callbacks.Callback] = [
            VariableSchedule(name, variable, ramp(float(variable), config.ramp_epochs))
            for name, variable in self._head.parameters.items()
            if config.ramp_epochs
        ]
        if keep:
            callbacks.append(keep)
            if config.patience:
                callbacks.append(StopEarly(keep, config.patience))
        return callbacks

    def _had_enough(self, done: int) -> bool:
        """Return whether the resumed run had stopped by its patience."""
        keep, patience = self._keep, self._config.patience
        return bool(keep and patience and done and done - keep.best_epoch >= patience)

    def _after_epoch(self, epoch: int, logs: dict[str, float]) -> None:
        self._state.history.append(plain_logs(logs))
        score = f"  held out: {self._describe(self._keep.scores[-1])}" if self._keep else ""
        self._progress.say(f"Epoch {epoch}/{self._config.epochs}  {describe(logs)}{score}")
        if self._setup.group.is_first:
            self._state.save(self._checkpoints)
        self._saved = True

    def _finish(self, interrupted: bool) -> FitResult:
        """Set the trunk to the weights to keep, and return the result."""
        trunk, keep, history = self._setup.trunk, self._keep, self._state.history
        if not keep:
            trunk.set_weights(self._now())
            return FitResult([], len(history), len(history), False, history, interrupted, share=self._share)
        helped = keep.scores[keep.best_epoch].shares > keep.scores[0].shares
        balances: list[Balance] = []
        if isinstance(self._held_out, HeldOutViews):
            balances = self._weigh(keep.weights)
            helped = balances[-1].helps(balances[0])
        kept = keep.best_epoch if helped or self._config.keep_trained else 0
        share = self._share if kept else 0.0
        trunk.set_weights(interpolated(self._untrained, keep.weights, share))
        return FitResult(
            keep.scores, keep.best_epoch, kept, helped, history, interrupted, share=share, balances=balances
        )

    def _weigh(self, trained: Weights) -> list[Balance]:
        """Choose a share of trained weights on held-out people; return balances before and after."""
        views, held_out = self._views, self._held_out
        assert views and isinstance(held_out, HeldOutViews)

        def at(share: float) -> Balance:
            with (
                this_process_alone(),
                weights_of(self._setup.local_trunk, interpolated(self._untrained, trained, share)),
            ):
                return held_out.measure(views.features, share)

        before = self._before or at(0.0)
        after = measure_shares(at) if self._chooses else [at(self._share)]
        chosen = choose_share(before, after) if self._chooses else after[0]
        for balance in (before, *after):
            mark = "  chosen" if self._chooses and balance is chosen else ""
            self._progress.say(f"Share {balance.share:.1f} of trained weights: {balance.describe()}{mark}")
        self._share = chosen.share
        return [before, chosen]

    def _describe(self, score: Score) -> str:
        if self._balances:
            return self._balances[-1].describe()
        return f"TPIR {score.tpir:.3f} at FPIR {self._config.target_fpir:g}, rank-1 {score.rank1:.3f}"
