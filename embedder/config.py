"""The only home of what a user may choose, each default with its reason."""

from __future__ import annotations

from dataclasses import dataclass

from embedder.errors import UsageError

CROPS = ("face", "whole")
DETECTORS = ("blazeface", "mtcnn")


@dataclass(frozen=True)
class ImageLimits:
    """What is refused before a single pixel is decoded."""

    max_bytes: int = 25 * 2**20  # above any JPEG of a phone, below what would fill a laptop
    max_pixels: int = 50_000_000  # 150 MB as RGB: a laptop holds several at once


@dataclass(frozen=True)
class DetectorConfig:
    """How faces are looked for.

    Attributes:
        name: `blazeface`, or `mtcnn`, whose weights are in a package of their own.
        min_face: pixels across the smallest face looked for. In photos below 64 pixels it may be smaller.
        any_rotation: look also for faces that lie on their side or on their head.
        proposal: BlazeFace: score of the coarse look from which a place is looked at closely.
        score: BlazeFace: score of the close look from which it is a face.
        overlap: share of the smaller of two faces that may be hidden by the other.
    """

    name: str = "blazeface"
    min_face: int = 60  # smaller ones are seldom recognized, and half of it takes four times as long
    any_rotation: bool = False
    proposal: float = 0.15  # at .2, one in 100 small faces is lost; at .1, twice the places are looked at
    score: float = 0.77  # of 960 composed faces .7 % are lost, .5 % of those found are none (.75: .6 and 1.1)
    overlap: float = 0.4

    def __post_init__(self) -> None:
        """Refuse values no search can use.

        Raises:
            UsageError: a value is out of its range.
        """
        if self.name not in DETECTORS:
            raise UsageError(f"--detector: expected one of {', '.join(DETECTORS)}, got {self.name!r}")
        _check_ranges(
            self, min_face=(10, 10_000), proposal=(0.01, 0.99), score=(0.01, 0.99), overlap=(0.0, 1.0)
        )


@dataclass(frozen=True)
class QualityLimits:
    """What makes a face too poor to enroll; see `faces.quality.Quality`. Measured: docs/faces.md."""

    size: float = 26.0  # pixels
    visible: float = 0.75  # share
    sharpness: float = 0.14
    dark: float = 0.035  # brightness
    bright: float = 0.82
    yaw: float = 45.0  # degrees; no photo of ORL looks aside as far, so nothing is known beyond


@dataclass(frozen=True)
class Schedule:
    """What a kind of trunk needs to learn."""

    learning_rate: float
    epochs: int


# A pretrained trunk is moved carefully: at 3e-4 its open-set gain swings by 10 points from epoch to epoch.
FINE_TUNING = Schedule(learning_rate=1e-4, epochs=20)
# From nothing, Adam's own default; of 40 epochs on 20 people of ORL the best is often among the last.
FROM_SCRATCH = Schedule(learning_rate=1e-3, epochs=40)


@dataclass(frozen=True)
class TrainConfig:
    """One training run; with the folder and the versions it determines the weights.

    Attributes:
        trunk: `face-resnet`, `small-cnn` or `imagenet:<name>`.
        head: `center`, `center-embedding` or `softmax`.
        center_weight: λ; the loss is cross-entropy + λ · mean squared distance to the own center.
        center_rate: α of Wen et al. 2016, or 0: the optimizer moves the centers.
        learning_rate: Adam's, or None: the trunk's own.
        warmup: batches over which the learning rate rises from zero.
        epochs: passes over the photos, or None: the trunk's own; 0 keeps the trunk as it is.
        batch_size: photos per step.
        seed: of the split, the order, the augmentation and new weights.
        input_size: side of the square the trunk sees, in pixels, or None: the trunk's own.
        crop: `face`: faces are found and aligned; `whole`: the picture is the sample; None: the trunk's own.
        detector: what finds the faces.
        any_rotation: find also faces that lie on their side or on their head.
        min_face: pixels across the smallest face looked for.
        mirror: embed a picture as the mean of its vector and its mirror picture's.
        hold_out: share of the people kept out of training to check the model on.
        target_fpir: false positive identification rate the first threshold aims at.
        keep_trained: keep the trained weights even if the frozen ones did better.
        trunk_weights: file with the weights of an ImageNet trunk, or None: fetched by Keras.
    """

    trunk: str = "face-resnet"  # 20 people are too few to learn faces from; this one has seen millions
    head: str = "center"
    center_weight: float = 0.5
    center_rate: float = 0.5  # the paper's; centers moved by Adam lag behind, at a rate meant for the trunk
    learning_rate: float | None = None
    warmup: int = 20  # Adam's first steps rest on the second moments of a few batches
    epochs: int | None = None
    batch_size: int = 32  # enough people per batch to tell apart, fits any laptop
    seed: int = 0
    input_size: int | None = None
    crop: str | None = None
    detector: str = DetectorConfig.name
    any_rotation: bool = DetectorConfig.any_rotation
    min_face: int = DetectorConfig.min_face
    mirror: bool = True
    hold_out: float = 0.25  # fewer say too little about strangers, more are missed in training
    target_fpir: float = 0.01  # one stranger in a hundred: what the field reports first
    keep_trained: bool = False
    trunk_weights: str | None = None

    def __post_init__(self) -> None:
        """Refuse values no run can use.

        Raises:
            UsageError: a value is out of its range.
        """
        _check_ranges(
            self,
            center_weight=(0.0, 1e6),
            center_rate=(0.0, 1.0),
            learning_rate=(1e-12, 10.0),
            warmup=(0, 10**9),
            epochs=(0, 10**6),
            batch_size=(2, 10**6),
            seed=(0, 2**32 - 1),
            input_size=(16, 1024),
            hold_out=(0.0, 0.9),
            target_fpir=(1e-6, 0.5),
        )
        if self.crop is not None and self.crop not in CROPS:
            raise UsageError(f"--crop: expected one of {', '.join(CROPS)}, got {self.crop!r}")
        self.finding  # noqa: B018 - checks the options it is made of

    @property
    def finding(self) -> DetectorConfig:
        """How faces are looked for."""
        return DetectorConfig(self.detector, self.min_face, self.any_rotation)


@dataclass(frozen=True)
class EvaluationConfig:
    """How the open-set protocol is repeated.

    Attributes:
        splits: random divisions into known people and strangers.
        known: share of the people that is enrolled.
        enrolled: photos enrolled per known person, or None: half of them.
        seed: of the splits and of the bootstrap.
        replicates: of the bootstrap over identities.
    """

    splits: int = 20
    known: float = 0.5
    enrolled: int | None = None
    seed: int = 0
    replicates: int = 1000  # an interval's ends then move by a tenth of its width from seed to seed

    def __post_init__(self) -> None:
        """Refuse values no protocol can use.

        Raises:
            UsageError: a value is out of its range.
        """
        _check_ranges(
            self,
            splits=(1, 10_000),
            known=(0.01, 0.99),
            enrolled=(1, 10_000),
            seed=(0, 2**32 - 1),
            replicates=(20, 100_000),
        )


@dataclass(frozen=True)
class IdentifyConfig:
    """How a photo is answered."""

    candidates: int = 5  # people listed per face: what a person can check at a glance
    margin: float = 0.0  # the second person must be this much farther; 0 leaves it to the threshold
    all_faces: bool = True  # else the largest, most central one of a photo
    neighbours: int = 0  # nearest enrolled photos given per face, to explain an answer
    batch_size: int = 32  # photos read ahead; a network's batch of mirrored pairs is half as long

    def __post_init__(self) -> None:
        """Refuse values no search can use.

        Raises:
            UsageError: a value is out of its range.
        """
        _check_ranges(
            self, candidates=(1, 1000), margin=(0.0, 2.0), neighbours=(0, 1000), batch_size=(1, 10**6)
        )


def _check_ranges(config: object, **ranges: tuple[float, float]) -> None:
    for name, (low, high) in ranges.items():
        value = getattr(config, name)
        if value is not None and not low <= value <= high:  # also refuses NaN
            raise UsageError(
                f"--{name.replace('_', '-')}: expected a number from {low:g} to {high:g}, got {value}"
            )
