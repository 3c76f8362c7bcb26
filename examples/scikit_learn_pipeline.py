"""Photos to names in a scikit-learn pipeline whose answer may be unknown.

    python examples/scikit_learn_pipeline.py [FOLDER]

FOLDER/<person>/<photos>; without it, 12 people of ORL (extra `demo`). The last quarter of the people are
strangers: nobody has enrolled them.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

import embedder
from embedder.folders import write_dataset
from enroll import OpenSetNeighborsClassifier, OpenSetSplit, PhotoEmbedder, tpir_scorer

PEOPLE = 12


def main(folder: Path) -> None:
    """Embed, choose a scorer by open-set cross-validation, answer known people and strangers."""
    samples = embedder.scan_folder(folder).samples
    people = sorted({sample.identity for sample in samples})[:PEOPLE]
    samples = [sample for sample in samples if sample.identity in people]
    vectors = PhotoEmbedder("built-in").transform([sample.path for sample in samples])
    names = np.array([sample.identity for sample in samples])
    known = np.isin(names, people[: 3 * len(people) // 4])

    pipe = make_pipeline(Normalizer(), OpenSetNeighborsClassifier(fpir=0.01))
    search = GridSearchCV(
        pipe,
        {"opensetneighborsclassifier__scorer": ["nearest", "mean"]},
        scoring=tpir_scorer(fpir=0.1),
        cv=OpenSetSplit(3),
    )
    search.fit(vectors[known], names[known])
    print("chosen:", search.best_params_)

    enrolled = known & (np.arange(len(names)) % 2 == 0)  # every second photo; the others are asked about
    pipe.fit(vectors[enrolled], names[enrolled])
    answers = pipe.predict(vectors[known & ~enrolled])
    strangers = pipe.predict(vectors[~known])
    print(f"known people named: {np.mean(answers == names[known & ~enrolled]):.0%} of {len(answers)}")
    print(f"strangers named: {np.mean(strangers != 'unknown'):.0%} of {len(strangers)}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        if len(sys.argv) > 1:
            main(Path(sys.argv[1]))
        else:
            write_dataset("orl", Path(made) / "orl")
            main(Path(made) / "orl")
