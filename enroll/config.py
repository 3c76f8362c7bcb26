"""Options of identification and evaluation, each with its default and the reason."""

from __future__ import annotations

from dataclasses import dataclass

from embedder.config.fields import check_ranges


@dataclass(frozen=True)
class EvaluationConfig:
    """How the open-set protocol is repeated.

    Attributes:
        splits: random divisions into known people and strangers.
        known: share of the people that is enrolled.
        enrolled: photos enrolled per known person, or None: half of them.
        seed: of the splits and of the bootstrap.
        replicates: of the bootstrap over identities.
        searches: mated, and non-mated, searches of a split at most; of more, so many are drawn at random.
    """

    splits: int = 20
    known: float = 0.5
    enrolled: int | None = None
    seed: int = 0
    replicates: int = 1000  # an interval's ends then move by a tenth of its width from seed to seed
    searches: int = 5000  # FPIR .1 % still rests on 5; all of 100,000 photos would take some ten minutes

    def __post_init__(self) -> None:
        """Refuse values no protocol can use.

        Raises:
            UsageError: a value is out of its range.
        """
        check_ranges(
            self,
            splits=(1, 10_000),
            known=(0.01, 0.99),
            enrolled=(1, 10_000),
            seed=(0, 2**32 - 1),
            replicates=(20, 100_000),
            searches=(10, 10**9),
        )


@dataclass(frozen=True)
class IdentifyConfig:
    """How a photo is answered."""

    candidates: int = 5  # people listed per face: what a person can check at a glance
    margin: float = 0.0  # the second person must be this much farther; 0 leaves it to the threshold
    all_faces: bool = True  # else the largest, most central one of a photo
    neighbours: int = 0  # nearest enrolled photos given per face, to explain an answer
    batch_size: int = 8  # photos a thread reads and then embeds; LiteRT's time per face is flat from there
    keep_pictures: bool = False  # give each photo's picture with its answer, to draw on; one at a time then

    def __post_init__(self) -> None:
        """Refuse values no search can use.

        Raises:
            UsageError: a value is out of its range.
        """
        check_ranges(
            self, candidates=(1, 1000), margin=(0.0, 2.0), neighbours=(0, 1000), batch_size=(1, 10**6)
        )


@dataclass(frozen=True)
class FilmConfig:
    """How films and cameras are looked at, and the most that a film may cost.

    Attributes:
        fps: frames looked at per second of film.
        agree: good frames that must name a person; see `enroll.agreement`.
        gap: seconds for which someone may be out of sight within one interval.
        max_duration: seconds of film that are looked at.
        max_time: seconds that a film may take.
        max_frames: frames that are decoded, looked at or not.
    """

    fps: float = 2.0  # someone who walks by is seen in several frames, and two cores keep up with 6 times
    agree: int = 2
    gap: float = 2.0
    max_duration: float = 4 * 3600.0
    max_time: float = 3600.0
    max_frames: int = 2_000_000  # 9 hours of 60 a second

    def __post_init__(self) -> None:
        """Refuse values no film can be looked at with.

        Raises:
            UsageError: a value is out of its range.
        """
        check_ranges(
            self,
            fps=(0.01, 60.0),
            agree=(1, 1000),
            gap=(0.0, 3600.0),
            max_duration=(0.1, 1e6),
            max_time=(0.1, 1e6),
            max_frames=(1, 10**9),
        )
