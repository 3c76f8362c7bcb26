"""What a gallery is compared by: rules from templates to one score a person; one family a file.

Smaller scores are more alike, for every rule, so that the nearest person, a threshold and a margin work for
all of them the same way. What each is worth is measured in docs/rules.md.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from enroll.rules.base import Rule

RULES = {
    "nearest": "enroll.rules.nearest",
    "k-nearest": "enroll.rules.nearest",
    "mean": "enroll.rules.mean",
    "nearest+mean": "enroll.rules.mean",
    "margin": "enroll.rules.margin",
    "cohort": "enroll.rules.cohort",
    "z-norm": "enroll.rules.normalization",
    "t-norm": "enroll.rules.normalization",
    "s-norm": "enroll.rules.normalization",
}


def get_scorer(name: str) -> Rule:
    """Look a rule up by name, with its parameters at their defaults.

    Raises:
        ValueError: there is none of this name.
    """
    if name not in RULES:
        raise ValueError(f"expected a rule of {', '.join(RULES)}, got {name!r}")
    rule: Rule = importlib.import_module(RULES[name]).build(name)
    return rule
