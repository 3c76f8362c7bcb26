"""Each report, of made-up people, all of one name that is given."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from embedder.model_folder import Manifest
from embedder.strangers import StrangerDistances
from enroll.calibration import calibrate
from enroll.comparisons import Comparisons, compare
from enroll.doctor.examine import examine
from enroll.evaluation.estimates import Estimate
from enroll.gallery.photos import PoorPhoto, PoorPhotos
from enroll.gallery.set_aside import NearPhotos, SetAside
from enroll.gallery.threshold import CalibrationRecord
from enroll.probes import Probes
from enroll.report.calibration_page import calibration_page
from enroll.report.doctor import DoctorReport
from enroll.report.doctor_page import doctor_page
from enroll.report.evaluation_page import to_html
from enroll.report.groups_page import FaceGroup, groups_page
from enroll.report.training_page import training_page
from enroll.templates import StoredTemplate
from tests.enroll.doctor.people import made_people
from tests.enroll.evaluation.evaluations import made_evaluation, made_folder

# Not tests.conftest's, which loads all that trains: attacks make these reports in little memory.
KNOWN = StrangerDistances(
    mean=0.3,
    mean_sd=0.03,
    log_spread=-2.3,
    log_spread_sd=0.1,
    skewness=-0.3,
    skewness_sd=0.2,
    shrink=0.02,
    shrink_sd=0.01,
    person_sd=0.03,
    freedom=6.0,
    people=10,
    photos=100,
    sets=1,
)
SIDE = 30
HISTORY = [
    {"loss": 9.5, "softmax_loss": 3.5, "center_loss": 6.0, "accuracy": 0.25},
    {"loss": 4.25, "softmax_loss": 2.0, "center_loss": 2.25, "accuracy": 0.5},
]
SCORES = [
    {"tpir": 0.5, "rank1": 0.75, "separation": 0.1, "searches": 40},
    {"tpir": 0.625, "rank1": 0.8, "separation": 0.2, "searches": 40},
    {"tpir": 0.6, "rank1": 0.7, "separation": 0.15, "searches": 40},
]
_PATH = "photos/{}.png"


def crop_of(number: int) -> NDArray[np.uint8]:
    squares = np.random.default_rng(number).integers(0, 256, (5, 5, 3), np.uint8)
    return np.kron(squares, np.ones((SIDE // 5, SIDE // 5, 1), np.uint8))


class FewPeople:
    """What a page of the doctor asks of a store; photos are called as their template's id."""

    def __init__(self, names: list[str], ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        self.names, self.ids, self.vectors = names, ids, vectors

    def stored(self, name: str) -> list[StoredTemplate]:
        return [
            StoredTemplate(int(number), _PATH.format(number), number.tobytes() * 4, self.vectors[0])
            for owner, number in zip(self.names, self.ids, strict=True)
            if owner == name
        ]


def evaluated(name: str = "Ada") -> str:
    names = tuple(sorted({name, *"abcdefgh"}))
    folder = made_folder(len(names), 4, noise=0.9, names=names, no_face=(1,), poor=(2,))
    folder.problems[2] = name
    figures = {"rank-1": Estimate(0.9, 0.8, 0.95), name: Estimate(None, needed=name)}
    made = made_evaluation(folder, splits=2)
    return to_html(made, figures, {"model": name}, title=name, fpir=0.2, crop=crop_of)


def calibrated(name: str = "Ada", aside: int = 1) -> str:
    record, comparisons = record_of()
    pairs = [SetAside(name, "Bea", "people", (NearPhotos(name, f"{name}.png", 0.4),))] * aside
    return calibration_page(record, comparisons, pairs, lambda who, photo: crop_of(len(photo)), name)


def record_of(people: int = 12, strangers: int = 3) -> tuple[CalibrationRecord, Comparisons]:
    """A calibration of made people, two of whom are one, with strangers."""
    vectors, labels = made_people(people + strangers, 4)
    labels[:2] = people + strangers  # half of the photos of person 0 under another name
    own = (labels < people) | (labels == people + strangers)
    given = (vectors[own], labels[own], vectors[~own], labels[~own])
    calibration = calibrate(given[0], given[1], 0.01, given[2], given[3], known=KNOWN)
    comparisons = compare(Probes.of(*given), 0.01, KNOWN)
    return CalibrationRecord(calibration, None, "f" * 64, "2026-01-31T12:00:00+00:00"), comparisons


def examined(name: str = "Ada", gallery: str | None = None) -> DoctorReport:
    """A gallery in which something is found of each kind but one."""
    vectors, labels = made_people(20, 6)
    names = np.array([f"p{label:02d}" for label in labels], object)
    names[labels == 3] = name
    names[20] = "p07"  # a photo of this person under another name
    names[[0, 1, 2]] = "p00 too"
    kept = ~((labels == 9) & (np.arange(len(labels)) % 6 > 1))  # two photos are left of one
    ids = 3 * np.arange(1, len(labels) + 1)
    found = examine(vectors[kept], names[kept], ids=ids[kept])
    store = FewPeople(names[kept].tolist(), ids[kept], vectors)
    poor = PoorPhotos((PoorPhoto(name, store.stored(name)[0], f"too dark: {name}"),), 2)
    return DoctorReport(store, found, poor, gallery)  # type: ignore[arg-type]


def doctored(name: str = "Ada") -> str:
    return doctor_page(examined(name, name), lambda template: crop_of(template.id), name)


def grouped(name: str = "Ada") -> str:
    groups = [FaceGroup(7, (1, 2, 3)), FaceGroup(9, (4, 5)), FaceGroup(6, (6,))]
    return groups_page(groups, lambda _: name, crop_of, gallery=name, title=name)


def manifest_of(**record: object) -> Manifest:
    training = {
        "scores": SCORES,
        "history": HISTORY,
        "best_epoch": 1,
        "kept_epoch": 1,
        "people": 20,
        "config": {"epochs": 2, "mirror": True, "patience": None, "lr_steps": [1, 2]},
        "versions": {"keras": "3.14"},
    }
    return Manifest(
        trunk="small-cnn",
        head="center",
        input_size=32,
        crop="whole",
        landmarks=None,
        detector=None,
        mirror=False,
        dim=8,
        extractor="e" * 64,
        weights="w" * 64,
        strangers=None,
        training=training | record,
        weights_as="float32",
    )


def trained(name: str = "Ada") -> str:
    record = {"config": {name: name}, "versions": {name: name}, "backend": name}
    log = {**HISTORY[0], f"{name}_loss": 1.0}
    return training_page(manifest_of(**record, history=[log, HISTORY[1]]), [name], name)


REPORTS = {
    "an evaluation": evaluated,
    "a calibration": calibrated,
    "an examination": doctored,
    "groups": grouped,
    "a training": trained,
}
