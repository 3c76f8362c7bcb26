"""The networks before the head: pictures in, features out; one file a trunk.

A trunk is a `keras.Model` from (batch, size, size, 3) float32 RGB in 0..255 to (batch, dim) float32; its
preprocessing is part of it, so that no caller can forget it.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embedder.config import FINE_TUNING, FROM_SCRATCH, Schedule
from embedder.errors import UsageError

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Trunk:
    """What is known of a trunk before it is built.

    Attributes:
        name: as given to `--trunk`.
        module: the file that builds it.
        input_size: side of its square input in pixels, unless chosen otherwise.
        pretrained: whether its weights already tell identities apart.
        schedule: learning rate and epochs that suit it.
        crop: which part of a picture it is made for, unless chosen otherwise.
    """

    name: str
    module: str
    input_size: int
    pretrained: bool
    schedule: Schedule
    crop: str

    def build(self, input_size: int | None = None, weights: str | None = None) -> keras.Model:
        """Build the network with its starting weights.

        Args:
            input_size: side of the square input in pixels; None takes the trunk's own.
            weights: a file with the weights, for trunks that fetch theirs.

        Raises:
            UsageError: the trunk cannot be built at this size, or takes no file of weights.
            MissingPackageError: the weights are not there.
        """
        model: keras.Model = importlib.import_module(self.module).build(
            self.name, input_size or self.input_size, weights
        )
        return model


_TRUNKS = {
    trunk.name: trunk
    for trunk in (
        Trunk("face-resnet", "embedder.trunks.face_resnet", 150, True, FINE_TUNING, "face"),
        Trunk("small-cnn", "embedder.trunks.small_cnn", 64, False, FROM_SCRATCH, "whole"),
    )
}
IMAGENET = "imagenet:"


def find_trunk(name: str) -> Trunk:
    """Look a trunk up by name.

    Raises:
        UsageError: there is none of this name.
    """
    if name in _TRUNKS:
        return _TRUNKS[name]
    if name.startswith(IMAGENET) and len(name) > len(IMAGENET):
        return Trunk(name, "embedder.trunks.imagenet", 224, True, FINE_TUNING, "whole")
    raise UsageError(f"--trunk: expected {', '.join(_TRUNKS)} or {IMAGENET}<name>, got {name!r}")
