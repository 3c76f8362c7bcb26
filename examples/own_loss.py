"""Train with a loss of one's own and center loss in plain Keras, and use the result for new people.

    python examples/own_loss.py [FOLDER]

FOLDER/<person>/<photos>; without it, generated pictures of 12 people. The people of the first half are
learned from, those of the second half are told apart afterwards.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops
from PIL import Image

import embedder
import enroll
from embedder.images import resize_to_square

SIDE = 64


def focal_loss(y_true: Any, logits: Any) -> Any:
    """Cross-entropy that minds what is already right less (Lin et al. 2017), of shape (batch,)."""
    chances = ops.take_along_axis(ops.softmax(logits), ops.expand_dims(ops.cast(y_true, "int32"), -1), -1)
    right = ops.squeeze(chances, -1)
    return -((1 - right) ** 2) * ops.log(right + 1e-7)


def generate(folder: Path, people: int = 12, photos: int = 8) -> Path:
    """Write pictures that differ from person to person, and a little from photo to photo."""
    for person in range(people):
        base = np.random.default_rng([1, person]).integers(0, 256, (8, 8, 3))
        for photo in range(photos):
            noise = np.random.default_rng([2, person, photo]).normal(0, 40, (SIDE, SIDE, 3))
            pixels = np.kron(base, np.ones((SIDE // 8, SIDE // 8, 1))) + noise
            (folder / f"p{person:02d}").mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"p{person:02d}/{photo}.png")
    return folder


def main(folder: Path, scratch: Path) -> None:
    """Train, save, enroll the people who were not trained on, and measure."""
    found = embedder.scan_folder(folder)
    learned = found.identities[: len(found.identities) // 2]
    images = np.stack(
        [resize_to_square(embedder.load_image(s.path), SIDE).astype("float32") for s in found.samples]
    )
    names = np.array([sample.identity for sample in found.samples])
    ours = np.isin(names, learned)
    labels = np.searchsorted(learned, names[ours])

    trunk = embedder.load_trunk("small-cnn", input_size=SIDE)
    label = keras.Input((), dtype="int32", name="label")
    head = embedder.layers.DenseWithCenterLoss(len(learned), center_weight=0.05)
    model = keras.Model({"image": trunk.input, "label": label}, head(trunk.output, label))
    model.compile("adam", focal_loss, metrics=["accuracy"], jit_compile=False)
    model.fit({"image": images[ours], "label": labels}, labels, epochs=8, batch_size=16, verbose=0)
    print("while training:", {name: round(value[-1], 3) for name, value in model.history.history.items()})

    embedder.save_model(scratch / "embed-model", trunk, name="small-cnn", crop="whole")  # the head is dropped
    extractor = embedder.Extractor.load(scratch / "embed-model")  # from here on without TensorFlow
    others = [sample for sample in found.samples if sample.identity not in learned]
    vectors = extractor.embed([embedder.load_image(sample.path) for sample in others])
    result = enroll.evaluate(vectors, [sample.identity for sample in others])
    print(f"people it never saw: rank-1 {result.rank(1)}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        given = Path(sys.argv[1]) if len(sys.argv) > 1 else generate(Path(made) / "people")
        main(given, Path(made))
