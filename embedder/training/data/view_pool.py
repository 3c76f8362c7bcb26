"""Draw the views of every photo once, and keep what the frozen first layers of a trunk make of them.

A network whose first layers are not trained gives the same outputs there in every epoch, so they are computed
once: `ViewPool`. A bounded number of views of each photo is drawn for that, from which every epoch draws.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedder._internal.runtime import Progress, map_in_order
from embedder.config import FilledConfig
from embedder.training.data.augmentation import TrainingData, class_means
from embedder.training.data.crop_store import LIMIT, Crops, RowFile
from embedder.training.data.degradation import Degradation, clean_view, degraded_view, varied_view
from embedder.training.data.photos import HeldOutSplit, Photos
from embedder.training.data.view_cache import ViewCache

Floats = NDArray[np.float32]
Rows = NDArray[np.intp]

DEGRADED, CLEAN, VARIED = range(3)
VIEWS = (4, 2, 2)  # of each photo; with 6, 2 and 4 the figures on ORL were the same, within their noise
_BLOCK = 64  # photos at a time
_STREAM = 7  # of random numbers, beside those of batches


class ViewPool:
    """Views of photos, as the first layer that is trained is given them.

    They lie on disk in 16 bits and depend on the seed and the place of the photo alone.

    Args:
        crops: n pictures.
        plan: what degraded views lack.
        seed: of what is drawn.
        whole: whether the pictures are whole photos, not crops of faces.
        early: the frozen layers: (m, size, size, 3) uint8 -> (m, ...) float32; None: nothing is frozen, and
            the views themselves are kept, in 8 bits.
        features: what follows: as `early` gives them, or pictures -> (m, dim) unit vectors before training.
        progress: hears of every block.
        cache: of earlier runs, if `early` is given.

    Attributes:
        before: by kind, (views, n, dim) unit vectors of clean and varied views before training.
    """

    def __init__(
        self,
        crops: Crops,
        plan: Degradation,
        seed: int,
        whole: bool,
        early: Callable[[NDArray[np.uint8]], Floats] | None,
        features: Callable[[NDArray[Any]], Floats],
        progress: Progress,
        cache: ViewCache | None = None,
    ) -> None:
        self._count = len(crops)
        self._starts = np.cumsum((0, *VIEWS)) * self._count
        self._plan, self._seed, self._whole = plan, seed, whole
        kept: dict[int, list[list[Floats]]] = {CLEAN: [], VARIED: []}
        file: RowFile | None = None
        work = [(kind, number) for kind, views in enumerate(VIEWS) for number in range(views)]
        with progress.bar("Preparing views", len(work) * self._count) as advance:
            for kind, number in work:
                blocks: list[Floats] = []
                for start in range(0, self._count, _BLOCK):
                    rows = range(start, min(start + _BLOCK, self._count))
                    pictures = crops.take(rows)
                    key = cache.key(kind, number, start, pictures) if cache else b""
                    outputs: NDArray[Any]
                    if (earlier := cache.get(key) if cache else None) is not None:
                        outputs, vectors = earlier
                    else:
                        views = self._views(kind, number, rows, pictures)
                        outputs = views if early is None else _in_16_bits(early(views))
                        vectors = features(outputs) if kind in kept else None
                        if cache and early is not None:
                            cache.put(key, outputs, vectors)
                    if file is None:
                        file = RowFile(outputs.shape[1:], outputs.dtype, len(work) * self._count)
                    for output in outputs:
                        file.append(output)
                    if vectors is not None:
                        blocks.append(vectors)
                    advance(len(rows))
                if kind in kept:
                    kept[kind].append(blocks)
        assert file is not None
        if cache:
            cache.prune()
        self._file = file
        self.before: dict[int, Floats] = {
            kind: np.stack([np.concatenate(blocks) for blocks in views]) for kind, views in kept.items()
        }

    def __len__(self) -> int:
        """Number of photos."""
        return self._count

    def take(self, kind: int | Rows, numbers: Rows, rows: Rows) -> NDArray[Any]:
        """Read some views.

        Args:
            kind: DEGRADED, CLEAN or VARIED, or (m,) of them.
            numbers: (m,) which view of each photo, from 0 to `VIEWS` of the kind - 1.
            rows: (m,) which photos.

        Returns:
            (m, ...) float16 outputs of the frozen layers, or (m, size, size, 3) uint8.
        """
        places = self._starts[kind] + numbers * self._count + rows
        return np.stack([self._file.read(int(place)) for place in places])

    def means(self, rows: Rows) -> Floats:
        """Give the unit vectors of photos before training, (m, dim), averaged with their mirror pictures."""
        return unit(self.before[CLEAN][:2, rows].mean(axis=0))

    def _views(self, kind: int, number: int, rows: range, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Draw one view of each picture, on all cores: Pillow holds no lock of the interpreter."""
        place = zip(rows, pictures, strict=True)
        with closing(map_in_order(lambda one: self._view(kind, number, *one), place)) as drawn:
            return np.stack(list(drawn))

    def _view(self, kind: int, number: int, row: int, crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if kind == CLEAN:
            return clean_view(crop, number)
        rng = np.random.default_rng([self._seed, _STREAM, kind, number, row])
        return varied_view(crop, rng) if kind == VARIED else degraded_view(crop, self._plan, rng, self._whole)


@dataclass(frozen=True, eq=False)
class PooledViews:
    """Views for a batch in which every `each` rows show one person.

    They are degraded ones, then a clean one and last, if that is to be kept, a varied one.

    Attributes:
        pool: of all photos.
        rows: (n,) the photos that are learned from.
        each: rows of a person in a batch, at least 2.
        kept: whether the features of clean and varied views are compared with those before training.
    """

    pool: ViewPool
    rows: Rows
    each: int
    kept: bool

    def __call__(self, rows: Rows, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
        """Give {"image"}, and {"before", "kept"} if features are kept: see `layers.Distillation`."""
        photos = self.rows[rows]
        kinds = self._kinds(len(rows))
        images: NDArray[Any] | None = None
        before = np.zeros((len(rows), self.pool.before[CLEAN].shape[2]), np.float32)
        for kind, views in enumerate(VIEWS):
            of_kind = np.flatnonzero(kinds == kind)
            if not len(of_kind):
                continue
            numbers = rng.integers(views, size=len(of_kind))
            shown = self.pool.take(kind, numbers, photos[of_kind])
            if images is None:
                images = np.empty((len(rows), *shown.shape[1:]), np.float32)
            images[of_kind] = shown
            if kind in self.pool.before:
                before[of_kind] = self.pool.before[kind][numbers, photos[of_kind]]
        assert images is not None
        if not self.kept:
            return {"image": images}
        return {"image": images, "before": before, "kept": (kinds != DEGRADED).astype(np.float32)}

    def _kinds(self, count: int) -> Rows:
        """Say which kind each row of a batch is of."""
        person, place = np.divmod(np.arange(count), self.each)
        kinds = np.full(count, DEGRADED)
        last = place == self.each - 1
        if not self.kept:
            kinds[last] = CLEAN
        elif self.each == 2:  # by turns, as one degraded view there has to be
            kinds[last] = np.where(person[last] % 2, CLEAN, VARIED)
        else:
            kinds[last] = VARIED
            kinds[place == self.each - 2] = CLEAN
        return kinds


def from_views(
    pool: ViewPool, photos: Photos, split: HeldOutSplit, config: FilledConfig, pretrained: bool
) -> TrainingData:
    """Take from a pool what is to be learned from.

    Args:
        pool: of all photos.
        photos: of this process.
        split: which of them to learn from.
        config: filled.
        pretrained: whether features mean something before training.
    """
    people, classes = np.unique(photos.labels[split.train], return_inverse=True)
    labels = classes.astype(np.int32)
    views = PooledViews(pool, split.train, config.photos_per_person, bool(config.distillation))
    means = unit(class_means(pool.means(split.train), labels)) if pretrained else None
    return TrainingData(views, labels, len(people), means)


def fits_on_disk(photos: int, nbytes: int, limit: int = LIMIT) -> bool:
    """Say whether views of so many photos, of so many bytes each, are few enough to be kept."""
    return photos * sum(VIEWS) * nbytes <= limit


def unit(vectors: Floats) -> Floats:
    """Scale rows (..., dim) to length 1."""
    scaled: Floats = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return scaled


def _in_16_bits(outputs: Floats) -> NDArray[np.float16]:
    most = float(np.finfo(np.float16).max)
    return outputs.clip(-most, most).astype(np.float16)
