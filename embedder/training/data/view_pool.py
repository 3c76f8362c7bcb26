"""Draw the views of every photo once, and store the frozen layers' output for them.

The output of frozen layers is the same in every epoch, so `ViewPool` computes it once, for 8 views of each
photo; every epoch draws from these.
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
VIEWS = (4, 2, 2)  # numbers of views by kind; with 6, 2 and 4 results on ORL were the same within their error
_BLOCK = 64  # photos at a time
_STREAM = 7  # number of the random stream, apart from those of batches


class ViewPool:
    """Stores views of photos on disk, as the input of the first trained layer, in float16.

    Views depend on the seed and the number of the photo alone.

    Args:
        crops: crops of n photos.
        plan: degradations of degraded views.
        seed: seed of the draws.
        whole: whether the crops are whole pictures, not faces.
        early: frozen layers, from (m, size, size, 3) uint8 to (m, ...) float32; None: no layer is frozen, and
            the views themselves are stored, in uint8.
        features: other layers before training, from the output of `early`, or pictures, to (m, dim) float32
            unit vectors.
        progress: progress bar that advances with every block.
        cache: cache of earlier runs, used if `early` is given.

    Attributes:
        before: (views, n, dim) float32 unit vectors before training by kind, of clean and varied views.
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
        """Return the number of photos."""
        return self._count

    def take(self, kind: int | Rows, numbers: Rows, rows: Rows) -> NDArray[Any]:
        """Read some views.

        Args:
            kind: DEGRADED, CLEAN or VARIED, or (m,) of these.
            numbers: (m,) number of the view of each photo, from 0 to `VIEWS[kind]` - 1.
            rows: (m,) numbers of the photos.

        Returns:
            (m, ...) float16 outputs of the frozen layers, or (m, size, size, 3) uint8.
        """
        places = self._starts[kind] + numbers * self._count + rows
        return np.stack([self._file.read(int(place)) for place in places])

    def means(self, rows: Rows) -> Floats:
        """Return unit vectors (m, dim) of photos before training, averaged with mirror pictures."""
        return unit(self.before[CLEAN][:2, rows].mean(axis=0))

    def _views(self, kind: int, number: int, rows: range, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Draw a view of each picture, in threads, since Pillow releases the interpreter lock."""
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
    """Draws views of a pool for batches in which every `each` rows are of one person.

    Of a person's rows most are degraded views, one is a clean one and, with distillation, one a varied one.

    Attributes:
        pool: views of all photos.
        rows: (n,) numbers of the photos to train on.
        each: number of rows of a person in a batch, at least 2.
        kept: whether features of clean and varied views are compared with those before training
            (distillation).
    """

    pool: ViewPool
    rows: Rows
    each: int
    kept: bool

    def __call__(self, rows: Rows, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
        """Draw views of (k,) photos: "image", with `kept` also "before" and "kept"."""
        photos = self.rows[rows]
        kinds = self._kinds(len(rows))
        images: NDArray[Any] | None = None
        before = np.zeros((len(rows), self.pool.before[CLEAN].shape[2]), np.float32)
        for kind, views in enumerate(VIEWS):
            of_kind = np.flatnonzero(kinds == kind)
            if not len(of_kind):
                continue
            numbers = rng.integers(views, size=len(of_kind))
            views_of_kind = self.pool.take(kind, numbers, photos[of_kind])
            if images is None:
                images = np.empty((len(rows), *views_of_kind.shape[1:]), np.float32)
            images[of_kind] = views_of_kind
            if kind in self.pool.before:
                before[of_kind] = self.pool.before[kind][numbers, photos[of_kind]]
        assert images is not None
        if not self.kept:
            return {"image": images}
        return {"image": images, "before": before, "kept": (kinds != DEGRADED).astype(np.float32)}

    def _kinds(self, count: int) -> Rows:
        """Return the kind of view of each row of a batch."""
        person, place = np.divmod(np.arange(count), self.each)
        kinds = np.full(count, DEGRADED)
        last = place == self.each - 1
        if not self.kept:
            kinds[last] = CLEAN
        elif self.each == 2:  # alternating between people, since the other view has to be degraded
            kinds[last] = np.where(person[last] % 2, CLEAN, VARIED)
        else:
            kinds[last] = VARIED
            kinds[place == self.each - 2] = CLEAN
        return kinds


def from_views(
    pool: ViewPool, photos: Photos, split: HeldOutSplit, config: FilledConfig, pretrained: bool
) -> TrainingData:
    """Make the training data from the views of a pool.

    Args:
        pool: views of all photos of this process.
        photos: photos of this process.
        split: split into photos to train on and photos of held-out people.
        config: options of the run.
        pretrained: whether the trunk is pretrained.
    """
    people, classes = np.unique(photos.labels[split.train], return_inverse=True)
    labels = classes.astype(np.int32)
    views = PooledViews(pool, split.train, config.photos_per_person, bool(config.distillation))
    means = unit(class_means(pool.means(split.train), labels)) if pretrained else None
    return TrainingData(views, labels, len(people), means)


def fits_on_disk(photos: int, nbytes: int, limit: int = LIMIT) -> bool:
    """Return whether the views of `photos` photos, of `nbytes` bytes each, are within a limit."""
    return photos * sum(VIEWS) * nbytes <= limit


def unit(vectors: Floats) -> Floats:
    """Scale rows (..., dim) to length 1."""
    scaled: Floats = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return scaled


def _in_16_bits(outputs: Floats) -> NDArray[np.float16]:
    most = float(np.finfo(np.float16).max)
    return outputs.clip(-most, most).astype(np.float16)
