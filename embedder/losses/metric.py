"""Losses that compare the embeddings of a batch with each other: triplet, quadruplet, contrastive.

Which photos are compared is `mine`'s to say: an anchor is a photo of the batch, its positives are the other
photos of its person, its negatives the photos of others. Symbols: B anchors, P and N candidates for either.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
from keras import ops

from embedder.losses.labels import check_labels

MINING = ("semi-hard", "batch-hard", "all")
FAR = 1e4  # beyond any distance between unit vectors, yet finite: infinity times zero is not a number
NOBODY = -1  # label of a candidate that is no photo
_NEAREST = 1e-6  # least squared distance with a gradient; at 0 the root has none that is finite


class MetricLoss(keras.losses.Loss):  # type: ignore[misc]
    """Base class of losses that compare the embeddings of a batch with each other.

    Embeddings are scaled to length 1 first, as the extractor gives them: what is trained is what is used, a
    margin means the same for every trunk, and shrinking all features does not lower the loss.

    A batch needs several photos of a person: Keras shuffles photos, so let batches be large beside the number
    of people, or use the sampling of `embed train`. On several replicas (`tf.distribute`) each compares its
    own part of the batch. A sub-class says what is compared by `distance` and `compare`.

    Args:
        margin: by how much a negative must be farther; at least 0.
        mining: `semi-hard`, `batch-hard` or `all`; see `mine`.
        reduction, name, dtype: of `keras.losses.Loss`. Float32 by default, also under mixed precision: half
            of it cannot tell near distances apart.

    Call arguments:
        y_true: (batch,) or (batch, 1) labels from 0, integers or floats that hold them (up to 2^24).
        y_pred: (batch, dim) embeddings, any float dtype.

    Call returns:
        The loss, a float32 scalar. Without reduction (batch,): the loss of the batch in every row, so that
        any average over photos is right. A batch with nothing to compare gives 0.

    Raises:
        ValueError: a margin, a mining or a shape is wrong; a label is negative.
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
        """Compare the photos of a batch; see the class."""
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
        """Compute the loss of a batch, and the share of its comparisons that still teach something.

        Args:
            features: (batch, dim).
            labels: (batch,) int32.
            candidates: (batch + n, dim) unit rows that anchors are compared with; the first are the batch.
                None: the batch alone. Positives always come from the batch.
            whose: (batch + n,) int32 labels of `candidates`; `NOBODY` is left out.
            queries: (batch, dim), features of the anchors if they have their own.

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
        """Turn cosines into what positives shall have less of: here |a - b|² = 2 - 2 cos(a, b)."""
        return 2.0 - 2.0 * cosine

    def compare(self, positive: Any, is_positive: Any, negative: Any, is_negative: Any) -> tuple[Any, Any]:
        """Average a batch's comparisons.

        Args:
            positive: (batch, batch) float32 distances.
            is_positive: (batch, batch) bool, whether two photos are different ones of the same person.
            negative: (batch, batch + n) float32 distances; the first (batch, batch) are those above.
            is_negative: (batch, batch + n) bool, whether two photos are of different people.

        Returns:
            The loss, and the share of comparisons that are not yet as they shall be: float32 scalars.
        """
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Give what `from_config` needs to make the same loss."""
        return {**super().get_config(), "margin": self.margin, "mining": self.mining}


@keras.saving.register_keras_serializable(package="embedder")
class TripletLoss(MetricLoss):
    """Compares distances: max(0, |a - p|² - |a - n|² + α) over anchors, positives and negatives.

    Schroff, Kalenichenko and Philbin 2015, "FaceNet: A Unified Embedding for Face Recognition and
    Clustering". Under `all`, the mean over triplets not yet satisfied (Hermans, Beyer and Leibe 2017); under
    the other two, over all that were mined. See `MetricLoss` for the other arguments, inputs and errors.

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
    """Compares cosines: max(0, m + cos(q, wrong) - cos(q, right)) over queries q of a batch.

    Right answers are the other photos of the query's person, wrong ones those of others. As |a - b|² is
    2 - 2 cos(a, b), it is half of `TripletLoss` at the margin 2 m, unless the queries are projected (see
    `embedder.layers.MetricLossLayer`). See `MetricLoss` for the other arguments, inputs and errors.

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
        """-cos(q, answer): what right answers shall have less of."""
        return -cosine


@keras.saving.register_keras_serializable(package="embedder")
class QuadrupletLoss(MetricLoss):
    """Adds two hinges: max(0, |a-p|² - |a-n|² + α) + max(0, |a-p|² - |n-o|² + β); a, n, o are three people.

    Chen, Chen, Zhang and Huang 2017, "Beyond triplet loss: a deep quadruplet network for person
    re-identification". The second term has no anchor in common on its two sides: it asks that any two
    people are farther apart than any two photos of one, which is what a single threshold for all needs. The
    second negative o is the nearest to n that is of a third person, so that a batch has as many of these
    comparisons as of the first; `mining` chooses n in either term. See `MetricLoss` for the other arguments,
    inputs and errors.

    Args:
        margin: α.
        second_margin: β, or None: α / 2; as in the paper, the second term is to count for less.

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
        """Add the two terms; the share is of the first; see `MetricLoss.compare`."""
        first, active = triplet_loss(
            mine(positive, is_positive, negative, is_negative, self.mining), self.margin, self.mining
        )
        count = ops.shape(positive)[0]
        third = ops.logical_and(is_negative[:, None], is_negative[None])  # (anchor, n, o): o is neither's
        second = ops.min(ops.where(third, negative[None], FAR), axis=2)  # far enough if there is no third
        mined = mine(positive, is_positive, second, is_negative[:, :count], self.mining)
        return first + triplet_loss(mined, self.second_margin, self.mining)[0], active

    def get_config(self) -> dict[str, Any]:
        """Give what `from_config` needs to make the same loss."""
        return {**super().get_config(), "second_margin": self.second_margin}


@keras.saving.register_keras_serializable(package="embedder")
class ContrastiveLoss(MetricLoss):
    """Averages `contrastive_loss` over pairs of one person, and adds its mean over pairs of two.

    Two means, as in a batch of 8 people with 4 photos each there are nine times as many pairs of two people
    as of one; a single mean would say little about the latter, and the more people a batch has the less. See
    `MetricLoss` for the other arguments, inputs and errors, and `mine` for which pairs: with `all`,
    each.

    Args:
        margin: how far apart two people shall be at least; 1 is an angle of 60 degrees.

    Example:
        >>> import numpy as np
        >>> vectors = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], "float32")  # of three photos
        >>> float(ContrastiveLoss(margin=1.0)(np.array([0, 0, 1]), vectors)) < 1e-5
        True
    """

    def __init__(self, margin: float = 1.0, mining: str = "all", *args: Any, **kwargs: Any) -> None:
        super().__init__(margin, mining, *args, **kwargs)

    def distance(self, cosine: Any) -> Any:
        """|a - b|."""
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
    """Make the loss of pairs: y · d² + (1 - y) · max(margin - d, 0)².

    Hadsell, Chopra and LeCun 2006, "Dimensionality Reduction by Learning an Invariant Mapping".

    Args:
        margin: how far apart two people shall be at least.

    Returns:
        A function of y, 1 for two photos of one person, 0 for those of two, and their distances d, of any one
        shape; gives the loss of each pair. It can be given to `keras.Model.compile`.

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
    """Distances of anchors to what they are compared with, in shapes that broadcast to the comparisons.

    Attributes:
        positive: float32.
        negative: float32.
        has_positive: bool, as `positive`, which means nothing where this is False.
        has_negative: bool, as `negative`, which means nothing where this is False.
    """

    positive: Any
    negative: Any
    has_positive: Any
    has_negative: Any


def mine(positive: Any, is_positive: Any, negative: Any, is_negative: Any, mining: str) -> Mined:
    """Choose the comparisons of a batch.

    - `all`: each anchor with each pair of a positive and a negative; (B, P, 1) and (B, 1, N).
    - `semi-hard`: each anchor and positive with the nearest negative that is farther than the positive
      (Schroff, Kalenichenko and Philbin 2015, "FaceNet: A Unified Embedding for Face Recognition and
      Clustering"). Where all negatives are nearer than the positive there is none; then the farthest stands
      in, the closest to being one: the photo most in need of learning is not passed over, and the hardest
      negatives, on which training can collapse, are still avoided. (B, P) both.
    - `batch-hard`: each anchor with its farthest positive and its nearest negative (Hermans, Beyer and Leibe
      2017, "In Defense of the Triplet Loss for Person Re-Identification"). (B,) both. A triplet loss of
      squared distances then may draw all photos to one point first, where it stays at its margin for long.

    Args:
        positive: (B, P) float32, distances to candidates.
        is_positive: (B, P) bool, which of them are positives.
        negative: (B, N) float32, distances to candidates.
        is_negative: (B, N) bool, which of them are negatives.
        mining: one of the three words.
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
    """Average max(0, positive - negative + margin).

    Under `all`, over the triplets that are not yet satisfied: soon these are few among the thousands of a
    batch, and an average over all would let what they teach fade away (Hermans, Beyer and Leibe 2017). Under
    the other two, over all that were mined.

    Args:
        mined: what is compared.
        margin: α.
        mining: how it was mined.

    Returns:
        The loss and the share of triplets that are not yet satisfied, two float32 scalars.
    """
    losses = ops.relu(mined.positive - mined.negative + margin)
    valid = ops.logical_and(mined.has_positive, mined.has_negative)
    active = ops.logical_and(valid, losses > 0)
    share = mean_where(ops.cast(active, "float32"), valid)
    return mean_where(losses, active if mining == "all" else valid), share


def mean_where(values: Any, chosen: Any) -> Any:
    """Average some values, float32; 0 if there is none.

    Args:
        values: any shape.
        chosen: bool, of the same shape.
    """
    chosen_values = ops.where(chosen, values, 0.0)  # not a product: what is left out may be anything
    return ops.sum(chosen_values) / ops.maximum(ops.sum(ops.cast(chosen, "float32")), 1.0)


def unit(vectors: Any) -> Any:
    """Scale rows (n, dim) to length 1; zero stays zero, with a finite gradient."""
    return vectors * ops.rsqrt(ops.maximum(ops.sum(ops.square(vectors), axis=-1, keepdims=True), 1e-12))
