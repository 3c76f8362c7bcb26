"""Read one frame of a film, such as the one that shows a person best."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from embedder.errors import FilmError
from enroll.library.video import Film, Sampler

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_EARLY = 0.002  # seconds: times are kept to thousandths


class _At(Sampler):
    """Chooses the frames from a time on."""

    def __init__(self, seconds: float) -> None:
        super().__init__(1.0)
        self._seconds = seconds

    def wants(self, seconds: float) -> bool:
        """Return whether a frame is late enough."""
        return seconds >= self._seconds - _EARLY


def frame_at(path: Path, seconds: float) -> NDArray[np.uint8]:
    """Return the frame of a film at a time.

    The film is decoded from the beginning, so that it is exactly that frame.

    Args:
        path: of the film.
        seconds: since its first frame.

    Returns:
        (height, width, 3) uint8 RGB, upright.

    Raises:
        FilmError: it cannot be read, or is shorter.
    """
    with closing(Film(path, sampler=_At(seconds)).frames()) as frames:
        for frame in frames:
            return frame.pixels
    raise FilmError(path, f"has no frame at {seconds:g} seconds")
