"""Store the distribution of a network's distances between strangers in a model.

The moments of ln d (`embedder.moments`) differ from one set of people and photos to the next. A model stores
their distribution over sets, a normal one with a mean and a standard deviation each, estimated from a few
sets (`embedder.stranger_fit`). It is the prior of the moments in a gallery; the gallery's own comparisons
update it by Bayes' rule (`Moments.updated`). Without comparisons the prior is used alone; with many it has no
weight.
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
    """Holds the distribution of the moments of ln d over sets of people and photos.

    Attributes:
        mean, mean_sd: mean of ln d with one photo per person, and its standard deviation between sets.
        log_spread, log_spread_sd: logarithm of the standard deviation of ln d, and its standard deviation
            between sets.
        skewness, skewness_sd: skewness of ln d, and its standard deviation between sets.
        shrink, shrink_sd: decrease of ln d when each person has e times as many photos, and its standard
            deviation between sets.
        person_sd: standard deviation, between the people of a set, of a low quantile of ln d to strangers.
        freedom: degrees of freedom of the deviations between sets.
        people, photos, sets: number of people, photos and sets that were measured.
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
        """Check that all numbers are in their ranges.

        Raises:
            ValueError: a number is not finite or out of its range.
        """
        check_numbers(self, _RANGES, "strangers")

    def prior(self, people: int, photos: float = 1.0) -> Moments:
        """Compute the distribution of the moments in a gallery before it is measured.

        Args:
            people: number of enrolled people; with fewer, one who is near to many strangers counts more.
            photos: number of photos of a person, as a geometric mean over the people.
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
        """Compute the threshold for a target FPIR in a gallery before it is measured.

        Args:
            target_fpir: false positive identification rate, the share of strangers who may be named, 0 to 1.
            people: number of enrolled people.
            photos: number of photos of a person, as a geometric mean over the people.

        Returns:
            Largest distance at which a name is given, at most 2.
        """
        from embedder.metrics import CONFIDENCE
        from embedder.moments import normal_quantile

        z = normal_quantile(target_fpir, people)
        return min(self.prior(people, photos).lower_bound(z, CONFIDENCE), 2.0)

    def describe(self) -> str:
        """Return the number of people and sets that were measured, as text."""
        return people_in_sets(self.people, self.sets)

    def to_json(self) -> dict[str, Any]:
        """Return the numbers by name, as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Any) -> StrangerDistances:
        """Read the numbers of `to_json`.

        Raises:
            ValueError: `content` has other names, or a number is out of its range.
        """
        names = {entry.name for entry in fields(cls)}
        if not isinstance(content, dict) or content.keys() != names:
            got = sorted(content) if isinstance(content, dict) else content
            raise ValueError(f"strangers: expected the numbers {sorted(names)}, got {got!r:.200}")
        return cls(**content)


def people_in_sets(people: int, sets: int) -> str:
    """Return a number of people, and of sets if there are several, as text.

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
