"""Hold what is known of a network's distances between strangers, as a model carries it.

The moments of ln d (`embedder.moments`) differ from one set of people and photos to the next. What a model
carries is their distribution over sets, as normal with a mean and a deviation each, estimated from a few sets
(`embedder.stranger_fit`). It is the prior of a gallery's own moments; the gallery's own comparisons update it
by Bayes' rule (`Moments.updated`). With no comparison the prior is all there is; with many it weighs nothing.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from embedder._internal.ranges import check_numbers
from embedder._internal.wording import count

if TYPE_CHECKING:
    from embedder.moments import Moments


@dataclass(frozen=True)
class StrangerDistances:
    """What is known of a network's distances between strangers, over sets of people and photos.

    Attributes:
        mean, mean_sd: of ln d with one photo a person, and its deviation between sets.
        log_spread, log_spread_sd: of the logarithm of ln d's standard deviation.
        skewness, skewness_sd: of ln d.
        shrink, shrink_sd: how much ln d falls when each person has e times as many photos.
        person_sd: deviation between people of one set in how far they are from strangers.
        freedom: degrees of freedom of the deviations between sets.
        people, photos, sets: what it was measured on.
    """

    mean: float
    mean_sd: float
    log_spread: float
    log_spread_sd: float
    skewness: float
    skewness_sd: float
    shrink: float
    shrink_sd: float
    person_sd: float
    freedom: float
    people: int
    photos: int
    sets: int

    def __post_init__(self) -> None:
        """Refuse numbers that no distances have.

        Raises:
            ValueError: a number is not finite or out of its range.
        """
        check_numbers(self, _RANGES, "strangers")

    def prior(self, people: int, photos: float = 1.0) -> Moments:
        """Give what is known of the moments in a gallery that is not seen yet.

        Args:
            people: number of enrolled people; the fewer, the more one who is near to many matters.
            photos: of each, the geometric mean.
        """
        import numpy as np

        from embedder.moments import Moments

        more = math.log(max(photos, 1.0))
        deviations = np.array(
            [
                math.sqrt(self.mean_sd**2 + (self.shrink_sd * more) ** 2 + self.person_sd**2 / people),
                self.log_spread_sd,
                self.skewness_sd,
            ]
        )
        values = np.array([self.mean - self.shrink * more, self.log_spread, self.skewness])
        return Moments(values, np.diag(deviations**2), self.freedom)

    def threshold(self, target_fpir: float, people: int, photos: float = 1.0) -> float:
        """Give the threshold for a gallery that is not seen yet, see `prior`."""
        from embedder.metrics import CONFIDENCE
        from embedder.moments import normal_quantile

        z = normal_quantile(target_fpir, people)
        return min(self.prior(people, photos).lower_bound(z, CONFIDENCE), 2.0)

    def describe(self) -> str:
        """Say what it was measured on, for messages."""
        return people_in_sets(self.people, self.sets)

    def to_json(self) -> dict[str, Any]:
        """Give the numbers for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Any) -> StrangerDistances:
        """Read what `to_json` gave.

        Raises:
            ValueError: it is something else.
        """
        names = {entry.name for entry in fields(cls)}
        if not isinstance(content, dict) or content.keys() != names:
            got = sorted(content) if isinstance(content, dict) else content
            raise ValueError(f"strangers: expected the numbers {sorted(names)}, got {got!r:.200}")
        return cls(**content)


def people_in_sets(people: int, sets: int) -> str:
    """Say how many people of how many sets something was measured on.

    Example:
        >>> people_in_sets(77, 4)
        '77 people in 4 sets'
    """
    return count(people, "person") + (f" in {count(sets, 'set')}" if sets > 1 else "")


_RANGES = {
    "mean": (math.log(1e-3), math.log(2)),
    "mean_sd": (0, 10),
    "log_spread": (math.log(1e-6), 2),
    "log_spread_sd": (0, 10),
    "skewness": (-100, 100),
    "skewness_sd": (0, 100),
    "shrink": (0, 10),
    "shrink_sd": (0, 10),
    "person_sd": (0, 10),
    "freedom": (1, 1e9),
    "people": (2, 2**53),
    "photos": (2, 2**53),
    "sets": (1, 2**53),
}
