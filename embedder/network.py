"""The extractor's network on LiteRT: chips to features, nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from embedder.errors import ModelError
from embedder.quiet import quiet
from embedder.wording import count

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Network:
    """A compiled network. Not safe to share between threads: the runtime keeps one set of buffers."""

    def __init__(self, content: bytes, size: int, dim: int, threads: int) -> None:
        """Compile a network that was read and checked.

        Args:
            content: of the LiteRT file.
            size: side of a chip in pixels, as it should be.
            dim: numbers of a feature vector, as it should be.
            threads: to compute with.

        Raises:
            ModelError: it is no LiteRT network, or another one than expected.
        """
        from ai_edge_litert.interpreter import Interpreter

        if content[4:8] != b"TFL3":
            raise ModelError("the extractor is not a LiteRT network; train again or copy the folder afresh")
        try:
            with quiet():  # LiteRT announces its delegate on standard error
                self._interpreter: Any = Interpreter(model_content=content, num_threads=threads)
                self._interpreter.allocate_tensors()
            (self._input,) = self._interpreter.get_input_details()
            (self._output,) = self._interpreter.get_output_details()
        except (ValueError, RuntimeError) as error:
            raise _cannot_run(error) from error
        shapes = list(self._input["shape"][1:]), list(self._output["shape"][1:])
        if shapes != ([size, size, 3], [dim]):
            raise ModelError(f"the extractor maps {shapes}; its manifest says {[size, size, 3]}, {[dim]}")
        kinds = {self._input["dtype"], self._output["dtype"]}
        if kinds != {np.float32}:
            raise ModelError(f"the extractor computes with {kinds}, expected float32; train again")
        self._batch, self._dim = 0, dim

    def run(self, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Give the features of chips.

        Args:
            chips: (n, size, size, 3) uint8 RGB.

        Returns:
            (n, dim) float32.

        Raises:
            ModelError: the network fails.
        """
        index = self._input["index"]
        try:
            if len(chips) != self._batch:
                self._interpreter.resize_tensor_input(index, chips.shape)
                self._interpreter.allocate_tensors()
                self._batch = len(chips)
            self._interpreter.set_tensor(index, chips.astype(np.float32))
            self._interpreter.invoke()
            features: NDArray[np.float32] = self._interpreter.get_tensor(self._output["index"])
        except (ValueError, RuntimeError) as error:
            raise _cannot_run(error) from error
        if features.shape != (len(chips), self._dim):
            raise ModelError(
                f"the extractor gave {features.shape} for {count(len(chips), 'picture')}, expected "
                f"{(len(chips), self._dim)}; train again or copy the folder afresh"
            )
        return features


def _cannot_run(error: Exception) -> ModelError:
    reason = " ".join(str(error).split())  # LiteRT says it in several lines
    return ModelError(f"the extractor cannot be run: {reason}; train again or copy the folder afresh")
