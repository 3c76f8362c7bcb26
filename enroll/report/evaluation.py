"""Write an evaluation as lines for people, and as one JSON object."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embedder._internal.wording import count
from embedder.folders import Rejected
from enroll.evaluation.analysis import mistakes, probable_duplicates
from enroll.evaluation.estimates import Estimate, difference, figure, insufficient
from enroll.evaluation.once import computed_once
from enroll.evaluation.protocol import FPIRS
from enroll.evaluation.verification import pairs_needed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from enroll.evaluation.lfw import Verification
    from enroll.evaluation.protocol import Evaluation
    from enroll.evaluation.samples import EmbeddedSamples
    from enroll.evaluation.verification import PairComparisons
    from enroll.folder_embedding import EmbeddedFolder

FMRS = (1e-2, 1e-3, 1e-4)
CALIBRATED_FOR = 0.01  # FPIR, as `embed calibrate` does by itself
_RANKS = (1, 5)
_WORST = 5  # people and photos that are named


@dataclass(frozen=True)
class EvaluationSummary:
    """Holds the results of an evaluation.

    Attributes:
        lines: for people.
        facts: for programs; every value is JSON.
        rejected: files that gave no vector, with the reason.
        figures: by name.
    """

    lines: list[str]
    facts: dict[str, Any]
    rejected: list[Rejected]
    figures: dict[str, Estimate]

    def to_json(self) -> str:
        """Convert to one object on one line, pure ASCII."""
        return json.dumps(self.facts, allow_nan=False)


def summarize(evaluation: Evaluation[EmbeddedFolder]) -> EvaluationSummary:
    """Summarize the evaluation of one model."""
    figures = all_figures(evaluation)
    counts = _counts(evaluation)
    width = max(map(len, figures))
    lines = [
        (
            f"{count(counts['people'], 'person')}, {count(counts['photos'], 'photo')}; "
            f"{count(evaluation.config.splits, 'split')}: {count(counts['known'], 'person')} known, "
            f"{count(counts['people'] - counts['known'], 'stranger')}"
        ),
        *(f"  {name:<{width}}  {value}" for name, value in figures.items()),
        "in parentheses 95 % intervals, by drawing people with replacement",
        (
            f"{count(counts['no_face'], 'photo')} without a face, {counts['too_poor']} too poor to enroll, "
            f"{count(counts['unread'], 'file')} not read; all but the last count as searches"
        ),
    ]
    drawn = _drawn(evaluation)
    lines += drawn
    fpirs, fnirs = evaluation.curve()
    facts: dict[str, Any] = {
        "protocol": asdict(evaluation.config),
        "scorer": evaluation.scorer,
        "counts": counts,
        "drawn": drawn,
        "curve": {"fpir": fpirs.tolist(), "fnir": fnirs.tolist()},
        "figures": {name: asdict(value) for name, value in figures.items()},
    }
    if (got := evaluation.as_calibrated(CALIBRATED_FOR)) is not None:
        lines.append(
            f"as calibrated: at the threshold that `embed calibrate --fpir {CALIBRATED_FOR:g}` sets, "
            f"{got.threshold:.3f} on average of {_which(got.splits, evaluation)}"
        )
        facts["as_calibrated"] = asdict(got)
    if (trust := evaluation.reliability()) is not None:
        some = len(evaluation.calibrated)
        by = "" if some == len(evaluation.splits) else f", by {_which(some, evaluation)}"
        lines.append(f"expected calibration error of the confidence: {trust.error:.3f}{by}")
        facts["reliability"] = {**asdict(trust), "splits": some}
    fpir = smallest_supported_fpir(evaluation)
    people, photos = mistakes(evaluation, fpir)
    folder = evaluation.samples
    facts["mistakes_at_fpir"] = fpir
    facts["people"] = [asdict(entry) for entry in people]
    facts["photos"] = [
        {
            "photo": str(folder.paths[entry.row]),
            "identity": folder.identities[folder.labels[entry.row]],
            "searches": entry.searches,
            "wrong": entry.wrong,
            "named": entry.named,
            "nearest": str(folder.paths[entry.nearest]) if entry.nearest >= 0 else None,
            "nearest_identity": folder.identities[folder.labels[entry.nearest]]
            if entry.nearest >= 0
            else None,
            "distance": entry.distance if entry.nearest >= 0 else None,
        }
        for entry in photos
    ]
    if people:
        lines.append(f"most often wrong at FPIR {100 * fpir:g} %:")
        lines += [
            f"  {entry.identity}: missed in {entry.missed} of {count(entry.searches, 'search')}, "
            f"{count(entry.attracted, 'other')} taken for them"
            for entry in people[:_WORST]
        ]
        lines += [
            f"  {entry['photo']}: wrong in {entry['wrong']} of {count(entry['searches'], 'search')}"
            + (f", like {entry['nearest']}" if entry["named"] else "")
            for entry in facts["photos"][:_WORST]
        ]
    duplicates = probable_duplicates(folder)
    facts["probable_duplicates"] = [list(pair) for pair in duplicates]
    lines += [
        f"probably one person under two names: {first} and {second} (typical distance {distance:.3f})"
        for first, second, distance in duplicates
    ]
    return EvaluationSummary(lines, facts, folder.not_found(), figures)


def all_figures(evaluation: Evaluation[EmbeddedSamples]) -> dict[str, Estimate]:
    """Compute rank-k, TPIR at FPIR, the rates at calibrated thresholds, TAR at FMR and the EER."""
    figures = {f"rank-{k}": evaluation.rank(k) for k in _RANKS}
    figures |= {f"TPIR at FPIR {100 * fpir:g} %": evaluation.tpir(fpir) for fpir in FPIRS}
    if (got := evaluation.as_calibrated(CALIBRATED_FOR)) is not None:
        figures |= {"TPIR as calibrated": got.tpir, "FPIR as calibrated": got.fpir}
    people = len(evaluation.samples.identities)
    comparisons = _comparisons(evaluation)
    replicates = comparisons.replicates(evaluation.weights(), FMRS)
    for index, fmr in enumerate(FMRS):
        at = comparisons.at_fmr(fmr)
        name = f"TAR at FMR {100 * fmr:g} %"
        if at.tar is None:
            figures[name] = insufficient(f"{count(pairs_needed(fmr), 'pair')} of two people")
        else:
            figures[name] = figure(at.tar, replicates.tar[:, index], people)
    figures["equal error rate"] = figure(comparisons.eer(), replicates.eer, people)
    return figures


@computed_once
def _comparisons(evaluation: Evaluation[EmbeddedSamples]) -> PairComparisons:
    return evaluation.samples.comparisons(evaluation.config.seed)


def _drawn(evaluation: Evaluation[EmbeddedSamples]) -> list[str]:
    """List what was drawn at random, in a sentence each.

    Nothing where all were searched for and compared.
    """
    return [said for said in (evaluation.drawn, _comparisons(evaluation).drawn) if said is not None]


def _which(splits: int, evaluation: Evaluation[EmbeddedSamples]) -> str:
    return "the splits" if splits == len(evaluation.splits) else f"the first {count(splits, 'split')}"


def summarize_comparison(
    first: Evaluation[EmbeddedFolder], second: Evaluation[EmbeddedFolder], names: Sequence[str]
) -> EvaluationSummary:
    """Summarize the difference of two models on the same searches, second minus first.

    Args:
        first: evaluation of one model.
        second: of the other.
        names: of both.
    """
    people = len(first.samples.identities)
    weights, once = first.weights(), np.ones((1, people))
    figures: dict[str, Estimate] = {}
    lines = [
        (
            f"{count(people, 'person')}, {count(len(first.samples.paths), 'photo')}; "
            f"{count(first.config.splits, 'split')}, the same for both"
        ),
        f"second minus first: {names[1]} minus {names[0]}",
        *([first.drawn] if first.drawn else []),
    ]
    facts: dict[str, Any] = {"models": list(names), "protocol": asdict(first.config), "figures": {}}
    facts["drawn"] = [first.drawn] if first.drawn else []
    kinds: dict[str, tuple[str, float]] = {
        f"rank-{k}": ("rank_replicates", k) for k in _RANKS if k <= len(first.splits[0].known)
    }
    kinds |= {
        f"TPIR at FPIR {100 * fpir:g} %": ("tpir_replicates", fpir) for fpir in FPIRS if first.supports(fpir)
    }
    width = max(map(len, kinds))
    for name, (method, at) in kinds.items():
        one, other = (getattr(evaluation, method) for evaluation in (first, second))
        values = float(one(at, once)[0]), float(other(at, once)[0])
        figures[name] = gain = difference(values[1] - values[0], other(at, weights) - one(at, weights))
        sure = "" if gain.low is None or gain.high is None or gain.low <= 0 <= gain.high else "  *"
        lines.append(f"  {name:<{width}}  {values[0]:.3f} → {values[1]:.3f}: {gain:+}{sure}")
        facts["figures"][name] = {"first": values[0], "second": values[1], "difference": asdict(gain)}
    lines.append("* the 95 % interval of the difference, by drawing people with replacement, does not hold 0")
    rejected = {entry.path: entry for each in (second, first) for entry in each.samples.not_found()}
    return EvaluationSummary(lines, facts, list(rejected.values()), figures)


def smallest_supported_fpir(evaluation: Evaluation[EmbeddedSamples]) -> float:
    """Return the smallest FPIR of `FPIRS` that the searches support, or the largest one."""
    return next((fpir for fpir in FPIRS if evaluation.supports(fpir)), FPIRS[-1])


def _counts(evaluation: Evaluation[EmbeddedFolder]) -> dict[str, int]:
    folder = evaluation.samples
    return {
        "people": len(folder.identities),
        "photos": len(folder.paths),
        "known": len(evaluation.splits[0].known),
        "non_mated_searches": evaluation.non_mated_searches,
        "mated_searches": min(len(split.mated) for split in evaluation.splits),
        "no_face": int((~folder.found).sum()),
        "too_poor": int((folder.found & ~folder.enrollable).sum()),
        "unread": len(folder.unread),
        "failures_to_enroll": _failures_to_enroll(evaluation),
    }


def _failures_to_enroll(evaluation: Evaluation[EmbeddedSamples]) -> int:
    """Count known people none of whose drawn photos could be enrolled, over all splits."""
    folder = evaluation.samples
    failures = 0
    for split in evaluation.splits:
        usable = split.enrolled[folder.enrollable[split.enrolled]]
        failures += len(np.setdiff1d(split.known, folder.labels[usable]))
    return failures


def summarize_pairs(verification: Verification) -> EvaluationSummary:
    """Summarize a model on the pairs of the LFW protocol."""
    lines = [
        (
            f"{count(verification.people, 'person')}, {count(verification.photos, 'photo')}, "
            f"{count(verification.folds, 'fold')}; {count(len(verification.failed), 'photo')} failed"
        ),
    ]
    for name, figures in (
        ("all pairs", verification.figures),
        ("without failed photos", verification.compared),
    ):
        lines.append(f"{name}: {figures.matched} of one person, {figures.mismatched} of two")
        if figures.accuracy is not None and figures.standard_error is not None:
            lines.append(f"  accuracy {figures.accuracy:.4f} ± {figures.standard_error:.4f} (standard error)")
        lines += [
            f"  TAR at FMR {100 * at.fmr:g} %: "
            + (
                f"{at.tar:.4f}"
                if at.tar is not None
                else f"not supported; needs {count(at.needed, 'pair')} of two"
            )
            for at in figures.tar
        ]
        if figures.eer is not None:
            lines.append(f"  equal error rate {figures.eer:.4f}")
    rejected = [Rejected(Path(entry.photo), entry.reason) for entry in verification.failed]
    return EvaluationSummary(lines, asdict(verification), rejected, {})
