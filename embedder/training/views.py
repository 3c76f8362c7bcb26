"""Draw the views that both trainings of a run use, and run the frozen layers on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from embedder._internal.runtime import Progress
from embedder.config import FilledConfig
from embedder.optimizers import freeze_layers
from embedder.training.data.degradation import Degradation, choose_degradation, sample_rows
from embedder.training.data.photos import Photos
from embedder.training.data.view_cache import MOST, ViewCache, view_recipe
from embedder.training.data.view_pool import ViewPool, fits_on_disk, unit
from embedder.training.distributed import TrainingDevices, this_process_alone
from embedder.training.frozen import CutTrunk, cut_trunk
from embedder.training.processes import own_seed
from embedder.trunks import features_of


@dataclass(frozen=True)
class Views:
    """Holds the views of a run, and the part of the trunk that is trained on them.

    Attributes:
        pool: views of all photos of this process.
        cut: the two parts of the trunk; the input of `cut.late` are arrays of the pool.
        features: function from arrays of the pool to (m, dim) float32 unit vectors, by the trunk's current
            weights.
    """

    pool: ViewPool
    cut: CutTrunk
    features: Callable[[NDArray[Any]], NDArray[np.float32]]


def draw_views(
    setup: TrainingDevices, photos: Photos, config: FilledConfig, progress: Progress, keep: bool = False
) -> Views:
    """Choose how views are degraded, draw them, and run the frozen layers once for each.

    With several devices, or if the disk has no room for the output of the frozen layers, views are stored as
    pictures, and these layers run in every batch.

    Args:
        setup: trunk with its starting weights, and the devices that train it.
        photos: photos of this process.
        config: options of the run.
        progress: progress bar of the views; gets a message on the chosen degradation.
        keep: whether the cache of earlier runs is used and extended.
    """
    plan = setup.group.first_json(_plan_of(photos, config) if setup.group.is_first else None)
    plan = Degradation(**{**plan, "kinds": tuple(plan["kinds"])})
    progress.say(plan.reason)
    freeze_layers(setup.trunk, config.freeze)
    cut = cut_trunk(setup.trunk)
    alone = setup.devices.sharing == "no" and setup.group.count == 1
    if not alone or not fits_on_disk(len(photos.crops), cut.nbytes):
        cut = CutTrunk(None, setup.trunk)
    rest = cut.late if alone else setup.local_trunk

    def features(shown: NDArray[Any]) -> NDArray[np.float32]:
        return unit(features_of(rest, shown))

    early = partial(features_of, cut.early) if cut.early is not None else None
    with this_process_alone():
        seed, whole = own_seed(config.seed, setup.group), config.crop == "whole"
        cache = _cache(setup, cut, photos, plan, config) if keep and alone else None
        pool = ViewPool(photos.crops, plan, seed, whole, early, features, progress, cache)
    return Views(pool, cut, features)


def _cache(
    setup: TrainingDevices, cut: CutTrunk, photos: Photos, plan: Degradation, config: FilledConfig
) -> ViewCache | None:
    """Make the cache of views; None for many photos, or for a trunk of the user's own code."""
    if cut.early is None or ":" in config.trunk or not fits_on_disk(len(photos.crops), cut.nbytes, MOST):
        return None
    options = {
        "trunk": config.trunk,
        "backend": keras.backend.backend(),
        "precision": config.precision,
        "cut": cut.early.output_shape,
        "layers": len(cut.early.layers),
        "plan": [plan.kinds, plan.fewest, plan.most],
        "seed": config.seed,
        "whole": config.crop == "whole",
    }
    return ViewCache(view_recipe(setup.trunk.get_weights(), options))


def _plan_of(photos: Photos, config: FilledConfig) -> dict[str, Any]:
    plan = choose_degradation(config.degrade, photos.crops.take(sample_rows(len(photos.crops))))
    return {"kinds": plan.kinds, "fewest": plan.fewest, "most": plan.most, "reason": plan.reason}
