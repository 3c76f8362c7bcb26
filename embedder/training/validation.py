"""Refuse options of a training run that contradict each other, before any work."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING

from embedder._internal.plugins import is_function
from embedder.config import FilledConfig
from embedder.config.devices import DeviceConfig
from embedder.config.schedule import TrunkDefaults
from embedder.errors import UsageError
from embedder.training.data.degradation import parse_kinds

if TYPE_CHECKING:
    from embedder.config import TrainConfig

_MARGIN = ("arcface", "cosface", "subcenter-arcface")
_CENTER = ("center", "dense-center")
_CLASSES = ("softmax", *_CENTER, *_MARGIN)
_PAIRS = ("triplet", "triplet-cosine", "quadruplet", "contrastive")
HEADS = (*_CLASSES, *_PAIRS)  # names of `embedder.heads.HEADS`, listed here since that module imports Keras
_SHARED_BY_CLASS = ("softmax", *_CENTER)  # heads whose weights `distributed._BY_CLASS` lists

# Option of a head -> heads that use it, and why others do not.
_USED_BY = {
    "loss": (_CLASSES, "there are no classes to tell apart"),
    "center_weight": (_CENTER, "there are no centers"),
    "center_rate": (_CENTER, "there are no centers"),
    "triplet_weight": (("center",), "there is no third output"),
    "margin": ((*_MARGIN, *_PAIRS, "center"), "there is no margin"),
    "scale": (_MARGIN, "there are no cosines to scale"),
    "sub_centers": (("subcenter-arcface",), "there are no sub-centers"),
    "mining": (_PAIRS, "there are no pairs or triplets"),
    "query_projection": (("triplet-cosine",), "there are no queries"),
    "activity_penalty": (
        ("softmax", *_CENTER),
        "the length of a feature has no meaning, so that features would shrink to nothing",
    ),
    "memory": (_PAIRS, "photos are not compared with each other"),
}
# Option of a loss -> loss that uses it.
_OF_LOSS = {"label_smoothing": "softened", "beta": "f-beta"}
# Losses whose gradient does not vanish for very wrong answers. Others are bounded or clipped; with a margin,
# all answers are so wrong at first that their gradient is 0.
_STEEP = (
    "crossentropy",
    "softened",
    "categoricalcrossentropy",
    "sparsecategoricalcrossentropy",
    "categoricalfocalcrossentropy",
)


def check_combination(config: TrainConfig, own: TrunkDefaults | None = None) -> None:
    """Refuse options that the head or the loss ignores, or that do not work together.

    An option counts as given if it is neither the default nor the trunk's own value. The options of a user's
    own head are not checked.

    Args:
        config: options, before those of the trunk were filled in, or as an earlier run stored them.
        own: training defaults of the trunk.

    Raises:
        UsageError: an option cannot be used; the message says why.
    """
    if not config.head:  # None in options that were not filled in
        config = replace(config, head=TrunkDefaults.head)
    if is_function(config.head):
        return
    if config.head == "center-embedding":
        raise UsageError(
            "--head: center-embedding is called center now, and the one layer that was center is dense-center"
        )
    if config.head not in HEADS:
        raise UsageError(f"--head: expected {', '.join(HEADS)} or FILE.py:FUNCTION, got {config.head!r}")
    given = {
        entry.name
        for entry in fields(config)
        if getattr(config, entry.name) not in (entry.default, getattr(own, entry.name, entry.default))
    }
    for option, (heads, lack) in _USED_BY.items():
        if option in given and config.head not in heads:
            raise _refusal(
                option, config, f"with --head {config.head} {lack}", f"--head {' or '.join(heads)}"
            )
    if config.degrade is not None:
        parse_kinds(config.degrade)
    for option, loss in _OF_LOSS.items():
        if option in given and config.loss != loss:
            raise _refusal(option, config, f"only --loss {loss} has it", f"--loss {loss}")
    if "ramp_epochs" in given and config.head not in _CENTER and config.loss != "softened":
        raise _refusal(
            "ramp_epochs", config, "there is no λ and no ε to raise", "--head center or --loss softened"
        )
    if config.head in _MARGIN and _of_keras(config.loss) and _plain(str(config.loss)) not in _STEEP:
        reason = f"its gradient vanishes at the scale of {config.head}, where answers start out wrong"
        raise _refusal("loss", config, reason, "--loss crossentropy or --head softmax")


def _refusal(option: str, config: TrainConfig, reason: str, instead: str) -> UsageError:
    name = option.replace("_", "-")
    return UsageError(
        f"--{name}: got {config.to_dict()[option]}, but {reason}; leave --{name} out, or use {instead}"
    )


def _of_keras(loss: object) -> bool:
    return isinstance(loss, str) and not is_function(loss)


def _plain(loss: str) -> str:
    return loss.replace("_", "").replace("-", "").lower()


def check_sharing(config: FilledConfig, devices: DeviceConfig) -> None:
    """Refuse heads whose weights per person `--parallel classes` does not share.

    Raises:
        UsageError: the head or its loss cannot be used; the message says why.
    """
    if devices.sharing != "classes":
        return
    if config.head not in _SHARED_BY_CLASS:
        raise UsageError(
            f"--parallel: classes are shared with --head {', '.join(_SHARED_BY_CLASS)} alone, got --head "
            f"{config.head}; use --parallel data"
        )
    if config.head == "center" and config.loss != "crossentropy":
        raise UsageError(
            "--parallel: classes are shared with --head center only by --loss crossentropy, got "
            f"--loss {config.loss}; use --head dense-center or --parallel data"
        )
