"""Vectors to people: enroll, identify, evaluate, calibrate."""

from __future__ import annotations

# Not from typing, and nothing of ours: until `enroll.start` has run, Ctrl-C is a traceback of Python's.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from enroll.calibration import Calibration, calibrate
    from enroll.classifier import OpenSetNeighborsClassifier
    from enroll.confidence import fit_confidence
    from enroll.config import EvaluationConfig, IdentifyConfig
    from enroll.decision import Candidate, Decision, decide
    from enroll.doctor.examine import Examination, examine
    from enroll.evaluation.protocol import Evaluation, evaluate
    from enroll.evaluation.verification import compare_pairs
    from enroll.folder_embedding import EmbeddedFolder, embed_folder
    from enroll.gallery.gallery import Gallery
    from enroll.identify import FaceResult, Identifier, PhotoResult
    from enroll.model_selection import OpenSetSplit, tpir_scorer
    from enroll.photo_embedder import PhotoEmbedder
    from enroll.scoring import get_scorer
    from enroll.store import Terms, open_store

    __version__: str

__all__ = [
    "Calibration",
    "Candidate",
    "Decision",
    "EmbeddedFolder",
    "Evaluation",
    "EvaluationConfig",
    "Examination",
    "FaceResult",
    "Gallery",
    "Identifier",
    "IdentifyConfig",
    "OpenSetNeighborsClassifier",
    "OpenSetSplit",
    "PhotoEmbedder",
    "PhotoResult",
    "Terms",
    "__version__",
    "calibrate",
    "compare_pairs",
    "decide",
    "embed_folder",
    "evaluate",
    "examine",
    "fit_confidence",
    "get_scorer",
    "open_store",
    "tpir_scorer",
]

_HOMES = {
    "Calibration": "calibration",
    "Candidate": "decision",
    "Decision": "decision",
    "EmbeddedFolder": "folder_embedding",
    "Evaluation": "evaluation.protocol",
    "EvaluationConfig": "config",
    "Examination": "doctor.examine",
    "FaceResult": "identify",
    "Gallery": "gallery.gallery",
    "Identifier": "identify",
    "IdentifyConfig": "config",
    "OpenSetNeighborsClassifier": "classifier",
    "OpenSetSplit": "model_selection",
    "PhotoEmbedder": "photo_embedder",
    "PhotoResult": "identify",
    "Terms": "store",
    "calibrate": "calibration",
    "compare_pairs": "evaluation.verification",
    "decide": "decision",
    "embed_folder": "folder_embedding",
    "evaluate": "evaluation.protocol",
    "examine": "doctor.examine",
    "fit_confidence": "confidence",
    "get_scorer": "scoring",
    "open_store": "store",
    "tpir_scorer": "model_selection",
}


def __getattr__(name: str) -> object:
    from embedder._internal import lazy_names

    return lazy_names(__name__, _HOMES)(name)
