"""Define the options of evaluation, identification and films, with defaults and reasons."""

from __future__ import annotations

from dataclasses import dataclass

from embedder.config.fields import check_ranges


@dataclass(frozen=True)
class EvaluationConfig:
    """Holds the options of the open-set evaluation.

    Attributes:
        splits: number of random divisions into known people and strangers, 1 to 10,000.
        known: share of the people that is enrolled, .01 to .99.
        enrolled: number of photos enrolled per known person; None: half of them.
        seed: of the splits and of the bootstrap.
        replicates: number of bootstrap replicates over identities, 20 to 100,000.
        searches: largest number of mated, and of non-mated, searches of a split; of more, so many are drawn
            at random.

    Raises:
        UsageError: a value is out of its range.

    Example:
        >>> EvaluationConfig(splits=5, known=0.8).enrolled is None
        True
    """

    splits: int = 20
    known: float = 0.5
    enrolled: int | None = None
    seed: int = 0
    replicates: int = 1000  # an interval's ends then move by a tenth of its width from seed to seed
    searches: int = 5000  # FPIR .1 % still rests on 5; all of 100,000 photos would take some ten minutes

    def __post_init__(self) -> None:
        """Check that each value is in its range.

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
    """Holds the options of identification.

    Attributes:
        candidates: number of people listed per face, 1 to 1,000.
        margin: the second person must be at least this much farther than the first, 0 to 2.
        all_faces: identify all faces of a photo; False: only the largest, most central one.
        neighbours: number of the nearest enrolled photos listed per face, 0 to 1,000.
        batch_size: number of photos a thread reads before it embeds their faces together.
        keep_pictures: return the pixels of each photo with its answer; photos are then read one at a time.

    Raises:
        UsageError: a value is out of its range.

    Example:
        >>> IdentifyConfig(margin=0.05).candidates
        5
    """

    candidates: int = 5  # people listed per face: what a person can check at a glance
    margin: float = 0.0  # the second person must be this much farther; 0 leaves it to the threshold
    all_faces: bool = True  # else the largest, most central one of a photo
    neighbours: int = 0  # nearest enrolled photos given per face, to explain an answer
    batch_size: int = 8  # photos a thread reads and then embeds; LiteRT's time per face is flat from there
    keep_pictures: bool = False  # give each photo's picture with its answer, to draw on; one at a time then

    def __post_init__(self) -> None:
        """Check that each value is in its range.

        Raises:
            UsageError: a value is out of its range.
        """
        check_ranges(
            self, candidates=(1, 1000), margin=(0.0, 2.0), neighbours=(0, 1000), batch_size=(1, 10**6)
        )


@dataclass(frozen=True)
class FilmConfig:
    """Holds the options of identification in films and cameras, and the limits of its cost.

    Attributes:
        fps: frames examined per second of film, .01 to 60.
        agree: number of good frames that must give the same name; see `enroll.agreement`.
        gap: longest time in seconds out of sight within one interval.
        max_duration: seconds of film that are examined.
        max_time: seconds of processing time that a film may take.
        max_frames: largest number of frames that are decoded, examined or not.

    Raises:
        UsageError: a value is out of its range.
    """

    fps: float = 2.0  # a person who walks by is in several frames, and two cores can process 6 times as many
    agree: int = 2
    gap: float = 2.0
    max_duration: float = 4 * 3600.0
    max_time: float = 3600.0
    max_frames: int = 2_000_000  # 9 hours at 60 a second

    def __post_init__(self) -> None:
        """Check that each value is in its range.

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
