"""Define every option of `embed train` with its default, range and help."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from functools import partial
from typing import Any

from embedder.config.faces import CROPS, DetectorConfig
from embedder.config.fields import check_options, option
from embedder.config.schedule import TrunkDefaults
from embedder.errors import UsageError

LossFunction = Callable[[Any, Any], Any]  # (one-hot, probabilities), both (batch, classes) -> (batch,)


def parse_steps(text: str) -> list[tuple[int, float]]:
    """Parse learning rates by epoch: "50:1e-3,80:1e-4" gives [(50, .001), (80, .0001)].

    Raises:
        UsageError: the text has another form, or its epochs do not rise.
    """
    pairs = []
    try:
        for part in filter(None, text.split(",")):
            epoch, _, rate = part.partition(":")
            pairs.append((int(epoch), float(rate)))
    except ValueError as error:
        raise UsageError(
            f'--lr-steps: expected epoch:rate pairs as "50:1e-3,80:1e-4", got {text!r}'
        ) from error
    epochs = [epoch for epoch, _ in pairs]
    if epochs != sorted(set(epochs)) or any(epoch < 1 or not 0 < rate <= 10 for epoch, rate in pairs):
        raise UsageError(f"--lr-steps: expected rising epochs from 1 and rates up to 10, got {text!r}")
    return pairs


MINING = ("all", "semi-hard", "batch-hard")
PRECISIONS = ("auto", "float32", "mixed")
SAMPLINGS = ("shuffled", "balanced", "people")
SCHEDULES = ("constant", "cosine", "steps")

_OWN = "the trunk's own"
_model = partial(option, panel="The model")
_faces = partial(option, panel="Finding faces")
_loss = partial(option, panel="What is learned")
_keep = partial(option, panel="What is kept")
_pace = partial(option, panel="How fast, how long")
_batch = partial(option, panel="Batches")
_check = partial(option, panel="Checks")


@dataclass(frozen=True)
class TrainConfig:
    """Holds the options of a training run.

    With the folder and the versions of the packages they determine the weights. Each field is an option of
    `embed train` and a key of its TOML file; its `help` says what it does. None leaves an option to the trunk
    (see `filled`) or to the head. From Python `loss` can also be a function.

    Raises:
        UsageError: a value is out of its range or not one of its choices.

    Example:
        >>> config = TrainConfig(trunk="small-cnn", epochs=5, learning_rate=1e-3)
        >>> config.epochs, config.batch_size is None
        (5, True)
    """

    trunk: str = _model(
        "sface",  # pretrained on millions of photos; a folder of 20 people is too small to train a network on
        "sface, face-resnet, small-cnn, imagenet:<name> or FILE.py:FUNCTION.",
    )
    trunk_weights: str | None = _model(
        None, "File with the weights of an ImageNet trunk.", unset="fetched by Keras"
    )
    input_size: int | None = _model(
        None,
        "Side of the square the trunk sees, in pixels.",
        within=(16, 1024),
        unset="the trunk's own",
    )
    crop: str | None = _model(
        None,
        "face: find and align the faces; whole: the picture is the sample.",
        among=CROPS,
        unset="face with sface and face-resnet, else whole",
    )
    mirror: bool | None = _model(
        None,
        "Average each vector with that of the mirror picture.",
        unset="on, but off with sface",
    )

    any_rotation: bool = _faces(
        DetectorConfig.any_rotation, "Find also faces that lie on their side or head."
    )
    min_face: int = _faces(DetectorConfig.min_face, "Pixels across the smallest face to look for.")

    head: str | None = _loss(
        None,
        "center (softmax + center loss, two outputs), dense-center (one layer), softmax, arcface, cosface, "
        "subcenter-arcface, triplet, triplet-cosine, quadruplet, contrastive or FILE.py:FUNCTION.",
        unset=_OWN,
    )
    loss: str | LossFunction = _loss(  # noqa: RUF009 - it makes a field
        "crossentropy",
        "Of a head that classifies: crossentropy, softened, f-beta, a loss of keras.losses or "
        "FILE.py:FUNCTION.",
    )
    center_weight: float | None = _loss(
        None,
        "λ; the loss is the classification loss + λ · mean squared distance to the own center.",
        within=(0.0, 1e6),
        unset=_OWN,
    )
    center_rate: float | None = _loss(
        None,
        "α of Wen et al. 2016, how fast centers follow their photos; 0: the optimizer moves them.",
        within=(0.0, 1.0),
        unset=_OWN,
    )
    triplet_weight: float | None = _loss(
        None,
        "Of center: weight of a triplet loss beside softmax and center loss.",
        within=(0.0, 1e6),
        unset=_OWN,
    )
    unit_features: bool | None = _loss(
        None, "Scale features to length 1 before the head, as the extractor does.", unset=_OWN
    )
    label_smoothing: float = _loss(
        0.1,
        "ε of the loss softened: the share of the cross-entropy with all people alike.",
        within=(0.0, 1.0),
    )
    beta: float = _loss(1.0, "β of the loss f-beta: recall counts β times precision.", within=(0.01, 100.0))
    margin: float | None = _loss(
        None,
        "Of arcface (radians), cosface, triplet, quadruplet or contrastive.",
        within=(0.0, 10.0),
        unset="the head's own",
    )
    scale: float | None = _loss(
        None,
        "s of arcface and cosface: what cosines are multiplied by before the softmax.",
        within=(0.01, 1000.0),
        unset="the head's own",
    )
    sub_centers: int = _loss(3, "Of subcenter-arcface: centers of each person.", within=(1, 100))
    mining: str = _loss(
        "semi-hard",  # batch-hard drew all photos of ORL to one point: docs/losses.md
        "Which triplets or pairs of a batch count: all, semi-hard or batch-hard.",
        among=MINING,
    )
    query_projection: bool = _loss(
        False, "Of triplet-cosine: project the query once more, and drop that after training."
    )
    memory: int = _loss(
        0,
        "Of triplet, quadruplet and contrastive: photos of earlier batches as further negatives.",
        within=(0, 10**6),
    )
    activity_penalty: float = _loss(0.0, "Weight of the sum of |x| over the features.", within=(0.0, 1e6))
    feature_noise: float = _loss(
        0.0,
        "Standard deviation of Gaussian noise on the features, in training only.",
        within=(0.0, 100.0),
    )

    degrade: str | None = _keep(
        None,
        "Views to learn from: auto: degraded as the photos suggest; pixels, light or pixels,light; none: the "
        "photos themselves.",
        unset=_OWN,
    )
    distillation: float | None = _keep(
        None,
        "μ, weight of keeping the features that clean photos had before training; without --degrade, also of "
        "drawing those of poor views to them.",
        within=(0.0, 1e6),
        unset=_OWN,
    )
    degrade_to: int | None = _keep(
        None,
        "With distillation: side, in pixels, of the poorest views of the photos; 0 keeps the resolution.",
        within=(0, 1024),
        unset=_OWN,
    )
    photometric: float = _keep(
        0.0,
        "With distillation: how far brightness, contrast and colour of poor views stray; 1 is far.",
        within=(0.0, 1.0),
    )
    freeze: float | None = _keep(
        None,
        "Share of the trunk's layers, from the picture on, that keep their weights.",
        within=(0.0, 1.0),
        unset=_OWN,
    )
    relative_step: float | None = _keep(
        None,
        "No weight moves by more than this share of its tensor's root mean square per batch; 0: no limit.",
        within=(0.0, 1.0),
        unset=_OWN,
    )
    interpolate_weights: float | None = _keep(
        None,
        "Share of the trained weights in those that are saved: less forgets less and gains less. 0: chosen "
        "on the held-out people, by what is gained and what is lost.",
        within=(0.0, 1.0),
        unset=_OWN,
    )
    refit: bool | None = _keep(
        None,
        "Once the held-out people have shown that training helps, train again, on them too.",
        unset=_OWN,
    )
    layer_decay: float = _keep(
        1.0,
        "Factor of the learning rate at the layer nearest to the picture; those between get one between.",
        within=(0.0, 1.0),
    )

    epochs: int | None = _pace(
        None,
        "Passes over the photos; 0 keeps the trunk as it is.",
        within=(0, 10**6),
        unset=_OWN,
    )
    learning_rate: float | None = _pace(None, "Adam's learning rate.", within=(1e-12, 10.0), unset=_OWN)
    lr_schedule: str | None = _pace(
        None,
        "Of the learning rate after the warm-up: constant, cosine or steps.",
        among=SCHEDULES,
        unset=_OWN,
    )
    lr_steps: str = _pace("", 'Of the schedule steps: "50:1e-3,80:1e-4" is 1e-3 from epoch 51, 1e-4 from 81.')
    warmup_batches: int = _pace(
        20,  # at first Adam estimates second moments from a few batches only
        "Batches over which the learning rate rises from zero.",
        within=(0, 10**9),
    )
    ramp_epochs: int = _pace(0, "Epochs over which λ and ε rise from zero.", within=(0, 10**6))
    patience: int | None = _pace(
        None,
        "Stop after so many epochs without a better one on the held-out people.",
        within=(1, 10**6),
        unset="never",
    )

    batch_size: int | None = _batch(None, "Photos per step.", within=(2, 10**6), unset=_OWN)
    gradient_accumulation: int = _batch(1, "Batches whose gradients make one step.", within=(1, 10**6))
    sampling: str | None = _batch(
        None,
        "shuffled: every photo once an epoch; balanced: every person as often; people: a few photos each of "
        "a few people per batch.",
        among=SAMPLINGS,
        unset="people with --degrade and for triplet, quadruplet and contrastive, else shuffled",
    )
    photos_per_person: int | None = _batch(
        None, "In a batch of the sampling people.", within=(2, 10**6), unset=_OWN
    )
    epoch_batches: int | None = _batch(
        None,
        "Batches of an epoch at least: a small folder is gone through several times.",
        within=(1, 10**6),
        unset=_OWN,
    )
    precision: str = _batch(
        "auto",
        "float32; mixed: 16 bits where that is safe; auto: mixed on a GPU.",
        among=PRECISIONS,
    )

    seed: int = _check(0, "Of all that is drawn at random.", within=(0, 2**32 - 1))
    hold_out: float = _check(
        0.25,  # fewer people measure the errors on strangers badly, more leave too few to train on
        "Share of the people kept out of training to check the model on.",
        within=(0.0, 0.9),
    )
    target_fpir: float = _check(
        0.01,  # one stranger in a hundred, the value that papers report first
        "Share of strangers the first threshold may name.",
        within=(1e-6, 0.5),
    )
    keep_trained: bool = _check(False, "Keep the trained weights even if they did not help.")

    def __post_init__(self) -> None:
        """Check the ranges and choices of all options."""
        check_options(self)
        if bool(self.rates) != (self.lr_schedule == "steps"):
            raise UsageError(
                f"--lr-steps: expected epochs and rates with --lr-schedule steps, and only with it; "
                f"got --lr-schedule {self.lr_schedule} and --lr-steps {self.lr_steps!r}"
            )
        self.finding  # noqa: B018 - checks the options it is made of

    def filled(self, own: TrunkDefaults, input_size: int, crop: str, mirror: bool) -> FilledConfig:
        """Return the same options, with the trunk's values in place of None.

        Args:
            own: training defaults of the trunk.
            input_size: side of the trunk's square input in pixels, used if `input_size` is None.
            crop: part of a picture that the trunk is made for, used if `crop` is None.
            mirror: whether vectors are averaged with the mirror picture's, used if `mirror` is None.
        """
        given = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        defaults = {**asdict(own), "input_size": input_size, "crop": crop, "mirror": mirror}
        return FilledConfig(
            **given | {name: value for name, value in defaults.items() if given[name] is None}
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the options as JSON values by name; a function becomes its name."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return {name: _named(value) if callable(value) else value for name, value in values.items()}

    @property
    def rates(self) -> list[tuple[int, float]]:
        """Pairs (epoch, learning rate): the rate after that epoch."""
        return parse_steps(self.lr_steps)

    @property
    def finding(self) -> DetectorConfig:
        """Settings of the face detection."""
        return DetectorConfig(min_face=self.min_face, any_rotation=self.any_rotation)


class FilledConfig(TrainConfig):
    """Holds the options of a run after `TrainConfig.filled`: none of these fields is None."""

    input_size: int
    crop: str
    mirror: bool
    head: str
    center_weight: float
    center_rate: float
    triplet_weight: float
    unit_features: bool
    degrade: str
    distillation: float
    degrade_to: int
    freeze: float
    relative_step: float
    interpolate_weights: float
    refit: bool
    epochs: int
    learning_rate: float
    lr_schedule: str
    batch_size: int
    photos_per_person: int
    epoch_batches: int


def _named(function: LossFunction) -> str:
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return f"function {function.__module__}.{name}"
