"""Define the training defaults of each kind of trunk, with their reasons."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrunkDefaults:
    """Holds the training options of a kind of trunk, used where the user gives none.

    The fields are those of `TrainConfig` with the same names.
    """

    learning_rate: float
    epochs: int
    head: str = "center"
    lr_schedule: str = "constant"
    batch_size: int = 32  # 8 people with 4 photos each; fits into the memory of a laptop
    photos_per_person: int = 4
    epoch_batches: int = 1
    center_weight: float = 0.5
    center_rate: float = 0.5  # as in the paper; Adam, at the trunk's learning rate, moves centers too slowly
    triplet_weight: float = 0.0
    unit_features: bool = False
    degrade: str = "none"
    distillation: float = 0.0
    degrade_to: int = 0
    freeze: float = 0.0
    relative_step: float = 0.0
    interpolate_weights: float = 1.0
    refit: bool = False


# At a learning rate of 3e-4 the open-set gain of a pretrained trunk varies by 10 points between epochs.
FINE_TUNING = TrunkDefaults(learning_rate=1e-4, epochs=20)
# Softmax + center loss on degraded views, starting from class means of the trunk: docs/decisions/009.
FACES = TrunkDefaults(
    head="center",
    learning_rate=5e-4,
    epochs=4,
    lr_schedule="cosine",
    batch_size=24,
    photos_per_person=4,
    epoch_batches=20,
    center_weight=4.0,
    center_rate=0.0,
    triplet_weight=2.0,
    unit_features=True,
    degrade="auto",
    distillation=2.0,
    freeze=0.43,
    relative_step=0.006,
    interpolate_weights=0.0,
    refit=True,
)
# Random weights: Adam's default rate; of 40 epochs on 20 people of ORL the best is often among the last.
FROM_SCRATCH = TrunkDefaults(learning_rate=1e-3, epochs=40)
