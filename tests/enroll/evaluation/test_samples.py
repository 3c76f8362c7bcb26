"""Arrays that are evaluated, with no file behind them."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from embedder.errors import UsageError
from embedder.faces.crop import NO_FACE
from enroll.config import EvaluationConfig
from enroll.evaluation.protocol import evaluate_samples
from enroll.evaluation.samples import EmbeddedSamples
from tests.enroll.evaluation.evaluations import made_folder

CONFIG = EvaluationConfig(splits=2, replicates=20)


def made_samples(**changes: object) -> EmbeddedSamples:
    folder = made_folder(no_face=(4,))
    content = {entry.name: getattr(folder, entry.name) for entry in fields(EmbeddedSamples)}
    return EmbeddedSamples(**content | changes)


def test_arrays_alone_give_the_figures_of_their_folder():
    alone, folder = (
        evaluate_samples(made_samples(problems={}), CONFIG),
        evaluate_samples(made_folder(no_face=(4,)), CONFIG),
    )
    assert (alone.rank(1), alone.tpir(0.1)) == (folder.rank(1), folder.tpir(0.1))
    assert alone.reliability() == folder.reliability()
    assert alone.samples.comparisons().eer() == folder.samples.comparisons().eer()


def test_a_broken_vector_is_named_by_its_row_or_its_file():
    vectors = made_samples().vectors.copy()
    vectors[[7, 9]] = np.nan
    with pytest.raises(UsageError, match=r"^photo 7: its vector is not finite, like those of 1 more"):
        made_samples(vectors=vectors)
    with pytest.raises(UsageError, match=r"^/photos/p01/1\.png: its vector is not finite"):
        replace(made_folder(no_face=(4,)), vectors=vectors)
    vectors[[7, 9]], vectors[4] = 0, np.nan  # where no face was found, the vector means nothing
    made_samples(vectors=vectors)


@pytest.mark.parametrize("name", ["labels", "found", "enrollable"])
def test_arrays_of_other_lengths_are_refused(name: str):
    whole = getattr(made_samples(), name)
    with pytest.raises(ValueError, match=r"expected \(n, dim\) vectors and \(n,\) labels, .* \(71,\)"):
        made_samples(**{name: whole[1:]})


def test_no_one_can_be_enrolled_and_no_one_says_why():
    with pytest.raises(UsageError, match=r"^no photo can be enrolled$"):
        evaluate_samples(made_samples(enrollable=np.zeros(72, bool), problems={}), CONFIG)


def test_a_photo_without_a_face_has_a_reason():
    (rejected,) = replace(made_folder(no_face=(4,)), problems={}).not_found()
    assert (rejected.path.name, rejected.reason) == ("4.png", NO_FACE)
