"""Learn from some people, see whether it helps those held out; if it does, learn again from everyone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import keras
import numpy as np

from embedder._internal.runtime import Progress
from embedder.backend import in_float32, precision
from embedder.config import FilledConfig
from embedder.model_folder import Threshold
from embedder.training.checkpoint import Checkpoints
from embedder.training.data.photos import Photos, Split
from embedder.training.distributed import Crew, distribution
from embedder.training.fit import Outcome, fit_trunk
from embedder.training.heldout import first_threshold
from embedder.training.shares import Totals, numbered
from embedder.trunks import embed_chips

_NO_ONE = np.empty(0, np.intp)


@dataclass(frozen=True)
class Learner:
    """What both trainings of a run share.

    Attributes:
        crew: the trunk with its starting weights, and who trains it.
        build: makes the trunk anew, on this process alone.
        photos: of this process.
        totals: what all processes have read.
        config: filled.
        pretrained: whether the trunk's features mean something before training.
        progress: hears of every batch.
    """

    crew: Crew
    build: Callable[[], keras.Model]
    photos: Photos
    totals: Totals
    config: FilledConfig
    pretrained: bool
    progress: Progress

    def learn(
        self,
        split: Split,
        checkpoints: tuple[Checkpoints, Checkpoints],
        resume: bool,
        extra: Sequence[keras.callbacks.Callback] = (),
    ) -> tuple[Outcome, keras.Model, Threshold | None]:
        """Train, and with `refit` train again from the start on everyone, if it helped.

        The first threshold is that of the first training: it is the last that has people it has not met.

        Args:
            split: whom to learn from first.
            checkpoints: where the first and the second training leave their states.
            resume: go on from there.
            extra: callbacks of Keras that listen to the first training.

        Returns:
            What it came to, the trunk in float32 and the first threshold, None if no one was held out.

        Raises:
            DivergedError: the losses left the numbers.
            UsageError: nothing to resume, or options contradict each other.
            KeyboardInterrupt: Ctrl-C before the first epoch ended, or in one of several processes.
        """
        first, second = checkpoints
        start = self.crew.trunk.get_weights()
        outcome = self._fit(split, first, resume, extra)
        trunk = self._in_float32()
        threshold = self._threshold(trunk, split, outcome)
        if not self.config.refit or not outcome.kept_epoch or outcome.interrupted or not self.totals.held_out:
            return outcome, trunk, threshold
        self.progress.say("Training again from the start, on the people held out too")
        kept = self.crew.trunk.get_weights()
        self.crew.trunk.set_weights(start)
        self.crew.look()
        everyone = Split(np.arange(len(self.photos.labels)), _NO_ONE)
        try:
            interrupted = self._fit(everyone, second, resume and second.exists()).interrupted
        except KeyboardInterrupt:
            if self.crew.peers.count > 1:
                raise
            interrupted = True
        if interrupted:
            self.crew.trunk.set_weights(kept)
            return replace(outcome, interrupted=True), self._in_float32(), threshold
        return replace(outcome, refitted=True), self._in_float32(), threshold

    def _fit(
        self,
        split: Split,
        checkpoints: Checkpoints,
        resume: bool,
        extra: Sequence[keras.callbacks.Callback] = (),
    ) -> Outcome:
        config, crew = self.config, self.crew
        if not config.epochs:
            return Outcome()
        keras.utils.set_random_seed(config.seed)
        with precision(config.precision), distribution(crew.machines, config.batch_size):
            return fit_trunk(
                crew, self.photos, split, config, self.pretrained, checkpoints, resume, self.progress, extra
            )

    def _in_float32(self) -> keras.Model:
        self.crew.look()
        return in_float32(self.crew.eye, self.build)

    def _threshold(self, trunk: keras.Model, split: Split, outcome: Outcome) -> Threshold | None:
        # A trunk that was not trained has met none of the photos, so all of them speak for its threshold.
        photos, config, peers = self.photos, self.config, self.crew.peers
        unseen = split.held_out if outcome.kept_epoch else np.arange(len(photos.labels))
        vectors = photos.chips.select(unseen).map(lambda block: embed_chips(trunk, block, config.mirror))
        labels, _ = numbered(photos.labels[unseen], len(photos.identities), peers)
        everyone = peers.gather_rows(vectors), peers.gather_rows(labels)
        return first_threshold(*everyone, config.target_fpir, gallery=self.totals.people)
