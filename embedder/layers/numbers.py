"""A place in the model for the numbers of a loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import layers


@keras.saving.register_keras_serializable(package="embedder")
class HoldNumbers(layers.Layer):  # type: ignore[misc]
    """Passes its input on and holds numbers that a loss outside of any layer reads, ε or λ.

    So the model knows them: they are in its checkpoints, and JAX, which compiles in all that it does not
    know as constants, sees them move.

    Args:
        numbers: by name, the variables themselves or, for a layer of its own, their values.

    Example:
        >>> features = HoldNumbers({"softening": loss.parameters["softening"]})(features)
    """

    def __init__(self, numbers: Mapping[str, float | keras.Variable], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.numbers = {
            name: value if isinstance(value, keras.Variable) else number(value, name)
            for name, value in numbers.items()
        }

    def call(self, inputs: Any) -> Any:
        """Return the input."""
        return inputs

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Give what `from_config` needs to make a layer with the same numbers."""
        values = {name: float(keras.ops.convert_to_numpy(value)) for name, value in self.numbers.items()}
        return {**super().get_config(), "numbers": values}


def number(value: float, name: str) -> keras.Variable:
    """Make a float32 variable () that no optimizer moves."""
    return keras.Variable(value, dtype="float32", trainable=False, name=name)
