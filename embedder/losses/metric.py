"""Define losses that compare the embeddings of a batch: triplet, quadruplet, contrastive.

`mine` chooses the photos to compare: an anchor is a photo of the batch, its positives are the other photos
of its person, its negatives the photos of other people. Symbols: B anchors, P candidates for positives, N
candidates for negatives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
from keras import ops

from embedder.losses.labels import check_labels

MINING = ("semi-hard", "batch-hard", "all")
FAR = 1e4  # above any distance of unit vectors, but finite: infinity times zero is NaN
NOBODY = -1  # label of an empty place among the candidates
_NEAREST = 1e-6  # least squared distance, since the gradient of the square root is infinite at 0


class MetricLoss(keras.losses.Loss):  # type: ignore[misc]
    """Base class of losses that compare the embeddings of a batch with each other.

    Embeddings are scaled to length 1 first, because the extractor scales them too: a margin then means the
    same for every trunk, and shrinking all features does not lower the loss.

    A batch needs several photos of a person: Keras shuffles photos, so use batches with several times as many
    photos as there are people, or the sampling of `embed train`. On several replicas (`tf.distribute`) each
    compares its own part of the batch. A sub-class defines `distance` and `compare`.

    Args:
        margin: least difference between the distances to a negative and to a positive; at least 0.
        mining: `semi-hard`, `batch-hard` or `all`; see `mine`.
        reduction, name, dtype: arguments of `keras.losses.Loss`. The dtype is float32 by default, also under
            mixed precision: the 10 bits of float16 are too few for differences of small distances.

    Call arguments:
        y_true: (batch,) or (batch, 1) labels from 0, integers or floats that hold them (up to 2^24).
        y_pred: (batch, dim) embeddings, any float dtype.

    Call returns:
        The loss, a float32 scalar. Without reduction (batch,): the loss of the batch in every row, so that
        any average over photos is right. A batch without a pair to compare gives 0.

    Raises:
        ValueError: a margin, a mining or a shape is wrong; a label is negative.

    Example:
        >>> class MeanDistance(MetricLoss):
        ...     def compare(self, positive, is_positive, negative, is_negative):
        ...         return mean_where(positive, is_positive), 1.0
        >>> float(MeanDistance(0.0)(keras.ops.array([0, 0]), keras.ops.eye(2)))
        2.0
    """

    def __init__(
        self,
        margin: float,
        mining: str = "semi-hard",
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = "float32",
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if not 0 <= margin < FAR:
            raise ValueError(f"{type(self).__name__}: expected a margin of at least 0, got {margin}")
        if mining not in MINING:
            raise ValueError(
                f"{type(self).__name__}: expected mining to be {' or '.join(MINING)}, got {mining!r}"
            )
        self.margin = margin
        self.mining = mining

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of a batch in every row, (batch,)."""
        labels, outside = check_labels(y_true, y_pred, type(self).__name__)
        return self.batch_loss(y_pred, labels)[0] + outside

    def batch_loss(
        self,
        features: Any,
        labels: Any,
        candidates: Any = None,
        whose: Any = None,
        queries: Any = None,
    ) -> tuple[Any, Any]:
        """Compute the loss of a batch, and the share of its comparisons with a loss above 0.

        Args:
            features: (batch, dim) embeddings, any float dtype.
            labels: (batch,) int32 labels of `features`.
            candidates: (batch + n, dim) rows of unit length to compare the anchors with, those of the batch
                first; None: the batch alone. Positives are always taken from the batch.
            whose: (batch + n,) int32 labels of `candidates`; those with `NOBODY` are not compared.
            queries: (batch, dim) embeddings of the anchors; None: `features`.

        Returns:
            Two float32 scalars.
        """
        features = unit(features)
        if candidates is None:
            candidates, whose = features, labels
        cosine = ops.matmul(features if queries is None else unit(queries), ops.transpose(candidates))
        count = ops.shape(features)[0]
        numbers = ops.arange(count)
        same = ops.equal(labels[:, None], whose[None])
        distance = self.distance(cosine)
        return self.compare(
            distance[:, :count],
            ops.logical_and(same[:, :count], ops.not_equal(numbers[:, None], numbers[None])),
            distance,
            ops.logical_and(ops.logical_not(same), ops.not_equal(whose, NOBODY)[None]),
        )

    def distance(self, cosine: Any) -> Any:
        """Turn cosines into distances, of any shape: here |a - b|² = 2 - 2 cos(a, b)."""
        return 2.0 - 2.0 * cosine

    def compare(self, positive: Any, is_positive: Any, negative: Any, is_negative: Any) -> tuple[Any, Any]:
        """Compute the loss of a batch from its distances.

        Args:
            positive: (batch, batch) float32 distances between the photos of the batch.
            is_positive: (batch, batch) bool, whether two photos are different ones of the same person.
            negative: (batch, batch + n) float32 distances to all candidates, those of the batch first.
            is_negative: (batch, batch + n) bool, whether two photos are of different people.

        Returns:
            The loss, and the share of comparisons with a loss above 0: float32 scalars.
        """
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of `from_config`."""
        return {**super().get_config(), "margin": self.margin, "mining": self.mining}


@keras.saving.register_keras_serializable(package="embedder")
class TripletLoss(MetricLoss):
    """Computes max(0, |a - p|² - |a - n|² + α) over anchors a, positives p, negatives n.

    Schroff, Kalenichenko and Philbin 2015, "FaceNet: A Unified Embedding for Face Recognition and
    Clustering". With `all` it is the mean over the triplets with a loss above 0 (see `triplet_loss`), with
    the other two over all mined triplets. See `MetricLoss` for the other arguments, inputs and errors.

    Args:
        margin: α.

    Example:
        >>> import numpy as np
        >>> vectors = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], "float32")  # of three photos
        >>> loss = TripletLoss(margin=0.2, mining="semi-hard")  # also for model.compile(loss=loss)
        >>> float(loss(np.array([0, 0, 1]), vectors))
        0.0
        >>> float(loss(np.array([0, 1, 0]), vectors)) > 0
        True
    """

    def __init__(self, margin: float = 0.2, *args: Any, **kwargs: Any) -> None:
        super().__init__(margin, *args, **kwargs)

    def compare(self, positive: Any, is_positive: Any, negative: Any, is_negative: Any) -> tuple[Any, Any]:
        """Mine triplets and average them; see `MetricLoss.compare`."""
        mined = mine(positive, is_positive, negative, is_negative, self.mining)
        return triplet_loss(mined, self.margin, self.mining)


@keras.saving.register_keras_serializable(package="embedder")
class CosineTripletLoss(TripletLoss):
    """Computes max(0, m + cos(q, n) - cos(q, p)) over queries q, positives p, negatives n.

    As |a - b|² is 2 - 2 cos(a, b), it is half of `TripletLoss` at the margin 2 m, unless the queries are
    projected (see `embedder.layers.MetricLossLayer`). See `MetricLoss` for the other arguments, inputs and
    errors.

    Args:
        margin: m.

    Example:
        >>> import numpy as np
        >>> vectors = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], "float32")  # of three photos
        >>> float(CosineTripletLoss(margin=0.1)(np.array([0, 0, 1]), vectors))
        0.0
    """

    def __init__(self, margin: float = 0.1, *args: Any, **kwargs: Any) -> None:
        super().__init__(margin, *args, **kwargs)

    def distance(self, cosine: Any) -> Any:
        """Return the negative cosine, which falls as vectors become more similar."""
        return -cosine


@keras.saving.register_keras_serializable(package="embedder")
class QuadrupletLoss(MetricLoss):
    """Computes max(0, |a-p|² - |a-n|² + α) + max(0, |a-p|² - |n-o|² + β).

    Chen, Chen, Zhang and Huang 2017, "Beyond triplet loss: a deep quadruplet network for person
    re-identification"; a, n and o are photos of three people. The second term compares pairs without a common
    photo: any two people are to be farther apart than any two photos of one person, as a single threshold for
    all people requires. The second negative o is the photo of a third person nearest to n, so that a batch
    has as many comparisons in the second term as in the first; `mining` chooses n in both. See `MetricLoss`
    for the other arguments, inputs and errors.

    Args:
        margin: α.
        second_margin: β; None: α / 2, as in the paper the second margin is the smaller one.

    Example:
        >>> import numpy as np
        >>> vectors = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], "float32")  # of three photos
        >>> float(QuadrupletLoss(margin=0.2)(np.array([0, 0, 1]), vectors))
        0.0
    """

    def __init__(
        self, margin: float = 0.2, *args: Any, second_margin: float | None = None, **kwargs: Any
    ) -> None:
        super().__init__(margin, *args, **kwargs)
        self.second_margin = margin / 2 if second_margin is None else second_margin

    def compare(self, positive: Any, is_positive: Any, negative: Any, is_negative: Any) -> tuple[Any, Any]:
        """Add the two terms; the share is that of the first; see `MetricLoss.compare`."""
        first, active = triplet_loss(
            mine(positive, is_positive, negative, is_negative, self.mining), self.margin, self.mining
        )
        count = ops.shape(positive)[0]
        third = ops.logical_and(is_negative[:, None], is_negative[None])  # (a, n, o): o is of a third person
        second = ops.min(ops.where(third, negative[None], FAR), axis=2)  # FAR if there is no third person
        mined = mine(positive, is_positive, second, is_negative[:, :count], self.mining)
        return first + triplet_loss(mined, self.second_margin, self.mining)[0], active

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of `from_config`."""
        return {**super().get_config(), "second_margin": self.second_margin}


@keras.saving.register_keras_serializable(package="embedder")
class ContrastiveLoss(MetricLoss):
    """Adds the mean `contrastive_loss` of pairs of one person and that of pairs of two people.

    A batch of 8 people with 4 photos each has nine times as many pairs of two people as of one, and more
    people make it more; with a single mean, pairs of one person would hardly count. See `MetricLoss` for the
    other arguments, inputs and errors, and `mine` for the pairs: with `all`, every pair.

    Args:
        margin: least distance of two people, 0 to 2; 1 is an angle of 60 degrees.

    Example:
        >>> import numpy as np
        >>> vectors = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], "float32")  # of three photos
        >>> float(ContrastiveLoss(margin=1.0)(np.array([0, 0, 1]), vectors)) < 1e-5
        True
    """

    def __init__(self, margin: float = 1.0, mining: str = "all", *args: Any, **kwargs: Any) -> None:
        super().__init__(margin, mining, *args, **kwargs)

    def distance(self, cosine: Any) -> Any:
        """Turn cosines into distances |a - b|."""
        return ops.sqrt(ops.maximum(super().distance(cosine), _NEAREST))

    def compare(self, positive: Any, is_positive: Any, negative: Any, is_negative: Any) -> tuple[Any, Any]:
        """Mine pairs and average them; the share is of pairs of two people nearer than the margin."""
        mined = mine(positive, is_positive, negative, is_negative, self.mining)
        of_pairs = contrastive_loss(self.margin)
        together = mean_where(of_pairs(ops.ones_like(mined.positive), mined.positive), mined.has_positive)
        apart = mean_where(of_pairs(ops.zeros_like(mined.negative), mined.negative), mined.has_negative)
        near = ops.cast(mined.negative < self.margin, "float32")
        return together + apart, mean_where(near, mined.has_negative)


def contrastive_loss(margin: float = 1.0) -> Callable[[Any, Any], Any]:
    """Make the contrastive loss of pairs: y · d² + (1 - y) · max(margin - d, 0)².

    Hadsell, Chopra and LeCun 2006, "Dimensionality Reduction by Learning an Invariant Mapping".

    Args:
        margin: least distance of two people, above 0.

    Returns:
        A function of y (1 for pairs of one person, 0 for pairs of two) and distances d, both of the same
        shape; it returns the loss of each pair. It can be given to `keras.Model.compile`.

    Example:
        >>> import numpy as np
        >>> np.round(contrastive_loss(margin=1.0)(np.array([1.0, 0.0]), np.array([0.5, 0.5])), 2).tolist()
        [0.25, 0.25]
    """

    def loss(y: Any, d: Any) -> Any:
        y = ops.cast(y, d.dtype)
        return y * ops.square(d) + (1 - y) * ops.square(ops.relu(margin - d))

    return loss


class Mined(NamedTuple):
    """Holds the distances of the mined comparisons, in shapes that broadcast to each other.

    Attributes:
        positive: float32 distances of anchors to positives.
        negative: float32 distances of anchors to negatives.
        has_positive: bool, in the shape of `positive`: whether there is a positive.
        has_negative: bool, in the shape of `negative`: whether there is a negative.
    """

    positive: Any
    negative: Any
    has_positive: Any
    has_negative: Any


def mine(positive: Any, is_positive: Any, negative: Any, is_negative: Any, mining: str) -> Mined:
    """Choose the positives and negatives that the anchors of a batch are compared with.

    - `all`: each anchor with each pair of a positive and a negative; (B, P, 1) and (B, 1, N).
    - `semi-hard`: each anchor and positive with the nearest negative that is farther than the positive
      (Schroff, Kalenichenko and Philbin 2015, "FaceNet: A Unified Embedding for Face Recognition and
      Clustering"). Where all negatives are nearer than the positive, the farthest of them is used: the photo
      with the largest loss still counts, and the hardest negatives, on which training can collapse, are
      avoided. (B, P) both.
    - `batch-hard`: each anchor with its farthest positive and its nearest negative (Hermans, Beyer and Leibe
      2017, "In Defense of the Triplet Loss for Person Re-Identification"). (B,) both. A triplet loss of
      squared distances may then draw all photos to one point at first, where it equals the margin.

    Args:
        positive: (B, P) float32 distances of anchors to candidates for positives.
        is_positive: (B, P) bool, which of these candidates are positives.
        negative: (B, N) float32 distances of anchors to candidates for negatives.
        is_negative: (B, N) bool, which of these candidates are negatives.
        mining: `all`, `semi-hard` or `batch-hard`.
    """
    if mining == "all":
        return Mined(positive[:, :, None], negative[:, None], is_positive[:, :, None], is_negative[:, None])
    or_far = ops.where(is_negative, negative, FAR)
    any_negative = ops.any(is_negative, axis=1)
    if mining == "semi-hard":
        beyond = ops.where(negative[:, None] > positive[:, :, None], or_far[:, None], FAR)
        nearest = ops.min(beyond, axis=2)
        farthest = ops.max(ops.where(is_negative, negative, -FAR), axis=1, keepdims=True)
        chosen = ops.where(nearest < FAR, nearest, farthest)
        return Mined(positive, chosen, is_positive, ops.logical_and(is_positive, any_negative[:, None]))
    farthest = ops.max(ops.where(is_positive, positive, -FAR), axis=1)
    return Mined(farthest, ops.min(or_far, axis=1), ops.any(is_positive, axis=1), any_negative)


def triplet_loss(mined: Mined, margin: float, mining: str) -> tuple[Any, Any]:
    """Average max(0, positive - negative + margin) over mined triplets.

    With `all` the mean is over the triplets with a loss above 0: after some epochs these are few among the
    thousands of a batch, and a mean over all would make their gradient vanish (Hermans, Beyer and Leibe
    2017). With the other two it is over all mined triplets.

    Args:
        mined: distances of the triplets.
        margin: α.
        mining: `all`, `semi-hard` or `batch-hard`, as given to `mine`.

    Returns:
        The loss and the share of triplets with a loss above 0: two float32 scalars.
    """
    losses = ops.relu(mined.positive - mined.negative + margin)
    valid = ops.logical_and(mined.has_positive, mined.has_negative)
    active = ops.logical_and(valid, losses > 0)
    share = mean_where(ops.cast(active, "float32"), valid)
    return mean_where(losses, active if mining == "all" else valid), share


def mean_where(values: Any, chosen: Any) -> Any:
    """Average the chosen values of an array, as a float32 scalar; 0 if none is chosen.

    Args:
        values: float32, any shape.
        chosen: bool, of the same shape.
    """
    chosen_values = ops.where(chosen, values, 0.0)  # not a product: values left out may be infinite or NaN
    return ops.sum(chosen_values) / ops.maximum(ops.sum(ops.cast(chosen, "float32")), 1.0)


def unit(vectors: Any) -> Any:
    """Scale the rows of (n, dim) to length 1; zeros stay zeros, with a finite gradient."""
    return vectors * ops.rsqrt(ops.maximum(ops.sum(ops.square(vectors), axis=-1, keepdims=True), 1e-12))
