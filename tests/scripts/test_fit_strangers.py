"""What is known of strangers is measured on every photo that shows a face, and on copies with few pixels."""

from __future__ import annotations

from pathlib import Path

import fit_strangers
import numpy as np
from PIL import Image

from embedder.faces.crop import Crop
from tests.conftest import ToyExtractor


class Faces(ToyExtractor):
    """Finds one face in every photo but dark ones."""

    def crops(self, image: np.ndarray) -> list[Crop]:
        return super().crops(image) if image.mean() > 50 else []

    def embed(self, images: list[np.ndarray]) -> np.ndarray:
        self.given = images
        return super().embed(images)


def test_copies_with_few_pixels_are_of_every_face(people: Path):
    Image.new("RGB", (24, 24)).save(people / "p01" / "dark.png")
    extractor = Faces()
    vectors, labels = fit_strangers.small(people, extractor, 2)
    assert labels.tolist() == np.repeat(np.arange(6), 5).tolist()
    assert vectors.shape == (30, 48)
    crop = Image.fromarray(extractor.crops(np.asarray(Image.open(people / "p00" / "0.png")))[0].pixels)
    cubic = Image.Resampling.BICUBIC
    np.testing.assert_array_equal(
        extractor.given[0], np.asarray(crop.resize((2, 2), cubic).resize((16, 16), cubic))
    )
