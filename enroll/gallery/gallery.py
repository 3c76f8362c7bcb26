"""Open a gallery: people, their templates and their one model, with a search index."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedder._internal.wording import count
from embedder.errors import UsageError
from embedder.images import read_image_file
from embedder.names import LONGEST, name_problem, normal_name
from enroll.calibration import calibrate
from enroll.comparisons import Comparisons, compare
from enroll.confidence import fit_confidence
from enroll.decision import Candidate
from enroll.gallery.as_classifier import classifier_of
from enroll.gallery.enrollment import Enrollment, EnrollmentResult
from enroll.gallery.following import LiveIndex
from enroll.gallery.places import home_of, stored_path
from enroll.gallery.set_aside import SetAside, set_aside
from enroll.gallery.threshold import CalibrationRecord, read_calibration
from enroll.probes import Probes
from enroll.search.base import nearest_people, nearest_templates
from enroll.store import Store, Terms, open_store
from enroll.store.base import check_model
from enroll.store.limits import check, new_terms_problem
from enroll.templates import NewTemplate, Templates

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedder.extractor import Extractor
    from embedder.images import Photo
    from enroll.classifier import OpenSetNeighborsClassifier
    from enroll.folder_embedding import EmbeddedFolder
    from enroll.looking import Looker
    from enroll.store.base import Store


_log = logging.getLogger(__name__)
_TRIES = 3  # to calibrate while others enroll


@dataclass(frozen=True)
class PhotoMatch:
    """Holds an enrolled photo near a face.

    Attributes:
        identity: name of the person.
        distance: Euclidean, 0 to 2.
        path: of the photo, as it is stored.
    """

    identity: str
    distance: float
    path: str


class Gallery:
    """Holds the people who can be identified, enrolled by one model.

    Every change is on disk when a method returns. Threads may share a gallery: they search and read side by
    side, and change it one after the other.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> picture = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
        >>> with TemporaryDirectory() as folder:
        ...     with Gallery.open(f"{folder}/people.db", whole_pictures) as people:
        ...         outcome = people.enroll("Ada", [picture])
        ...         names = people.identities()
        >>> outcome.added, names
        (1, [('Ada', 1)])
    """

    def __init__(self, store: Store, extractor: Extractor, index: str = "exact") -> None:
        """Bind a store to a model; see `open`."""
        check_model(store, extractor.fingerprint, extractor.dim)
        self._store, self._extractor = store, extractor
        self._expiry_said = False  # whether the log has the warning about expired people
        self._search = LiveIndex(store, (extractor.fingerprint, extractor.dim), index)

    @classmethod
    def open(
        cls, path: str | Path, extractor: Extractor, create: bool = True, index: str = "exact"
    ) -> Gallery:
        """Open a gallery.

        Args:
            path: the file, or an address of Milvus (docs/scale.md).
            extractor: the model; a new gallery is bound to it, and one of another model is refused.
            create: make the file if it is missing.
            index: how nearest templates are found: `exact`, or `approximate` for very many (docs/scale.md).

        Raises:
            UsageError: no such index.
            ForeignModelError: the gallery was made with another model.
            GalleryError: the file is missing, broken or not a gallery.
        """
        store = open_store(path, create)
        try:
            return cls(store, extractor, index)
        except BaseException:
            store.close()
            raise

    @property
    def home(self) -> Path | None:
        """The folder that relative paths of its photos start from; None in Milvus."""
        return home_of(self._store)

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def __enter__(self) -> Gallery:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def enroll(
        self, name: str, photos: Sequence[Photo], force: bool = False, terms: Terms | None = None
    ) -> EnrollmentResult:
        """Enroll photos of one person, new or known; see `enroll_many`.

        Args:
            name: of the person.
            photos: as for `enroll_many`.
            force: accept faces that are too poor to be recognized well, too.
            terms: consent and last day; None leaves those there.

        Returns:
            The result, when it is on disk.
        """
        for outcome in self.enroll_many({name: photos}, force, terms):
            return outcome
        return EnrollmentResult(checked_name(name), 0, 0, ())

    def enroll_many(
        self,
        people: Mapping[str, Sequence[Photo]],
        force: bool = False,
        terms: Terms | None = None,
        keep_crops: bool = False,
        advance: Callable[[], object] = lambda: None,
        elsewhere: Looker | None = None,
    ) -> Iterator[EnrollmentResult]:
        """Enroll photos of people, some hundreds of photos in a transaction.

        The largest, most central face of each photo is enrolled. A photo that is already theirs changes
        nothing and is not embedded again, so an interrupted run can be repeated; one that cannot be read,
        shows no face or too poor a one, or is enrolled under another name, is rejected and the others go on.

        Args:
            people: photos by the name of the person, which is stored in Unicode form NFC: paths of image
                files, their bytes, open files, pictures of Pillow or arrays, as for `embedder.load_image`.
                Only for a path the gallery keeps where the photo is.
            force: accept faces that are too poor to be recognized well, too.
            terms: consent and last day of all these people; they replace those there, None leaves them.
            keep_crops: return the crops, too; those of many photos take much memory.
            advance: called after each photo.
            elsewhere: embeds the photos on other machines, as from `enroll.cluster.connect`.

        Yields:
            The result of each person with photos, in their order, when it is on disk.

        Raises:
            UsageError: a name or the terms cannot be stored, the last day is over, or two names are the same;
                nothing was enrolled.
            GalleryError: the file cannot be written.
        """
        if terms is not None:
            check(new_terms_problem(terms))
        checked: dict[str, Sequence[Photo]] = {}
        for name, photos in people.items():
            stored = checked_name(name)
            if stored in checked:
                raise UsageError(f"{name!r}: expected each name once, got one that is stored alike")
            checked[stored] = photos
        run = Enrollment(self._store, self._extractor, force, terms, keep_crops, elsewhere)
        return run.run(checked, advance)

    def prepare(self) -> None:
        """Start to load in the background what searching will need."""
        self._search.prepare()

    def nearest_people(self, queries: NDArray[np.float32], people: int) -> list[list[Candidate]]:
        """Find the nearest people of each vector, nearest first, without people who have expired.

        Args:
            queries: (n, dim) float32 unit rows.
            people: number of people per query.

        Returns:
            For each query, at most `people` candidates.
        """
        with self._store.one_moment():
            gone = self._expired()
            with self._search.searching() as search_index:
                found = nearest_people(search_index, queries, people + len(gone))
        return [[one for one in near if one.identity not in gone][:people] for near in found]

    def nearest_photos(self, queries: NDArray[np.float32], count: int) -> list[list[PhotoMatch]]:
        """Find the nearest enrolled photos of each vector, without people who have expired.

        Args:
            queries: (n, dim) float32 unit rows.
            count: number of photos per query.

        Returns:
            For each query, at most `count` photos.
        """
        wanted = count
        with self._store.one_moment():
            gone = self._expired()
            with self._search.searching() as search_index:
                while True:
                    near = nearest_templates(search_index, queries, wanted)
                    found = [
                        [entry for entry in entries if entry.identity not in gone][:count] for entries in near
                    ]
                    if all(
                        len(some) == count or len(every) < wanted
                        for some, every in zip(found, near, strict=True)
                    ):
                        break
                    wanted *= 4
            photos = [self._store.photos([entry.template for entry in entries]) for entries in found]
        return [
            [PhotoMatch(one.identity, one.distance, path) for one, path in zip(entries, paths, strict=True)]
            for entries, paths in zip(found, photos, strict=True)
        ]

    def _expired(self) -> set[str]:
        gone = set(self._store.expired(date.today()))
        if gone and not self._expiry_said:
            self._expiry_said = True
            _log.warning(
                "%s: %s who expired: not named any more; `embed gallery purge` erases them",
                self._store.location,
                count(len(gone), "person"),
            )
        return gone

    def calibrate(self, target_fpir: float, strangers: EmbeddedFolder | None = None) -> CalibrationRecord:
        """Calibrate the gallery, and store the result; see `enroll.calibration.calibrate`.

        Args:
            target_fpir: limit of the share of strangers that are named.
            strangers: people who are not enrolled, embedded by the same model; those that the gallery keeps
                are used in any case.

        Returns:
            The threshold and its evidence.

        Raises:
            UsageError: too few people, or other processes keep changing the gallery.
        """
        return self.calibrate_aside(target_fpir, strangers)[0]

    def calibrate_aside(
        self, target_fpir: float, strangers: EmbeddedFolder | None = None
    ) -> tuple[CalibrationRecord, tuple[SetAside, ...]]:
        """Calibrate as `calibrate` does, and return also the people whose photos were set aside.

        Args:
            target_fpir: limit of the share of strangers that are named.
            strangers: as for `calibrate`.
        """
        model = self._extractor.manifest.strangers
        for _ in range(_TRIES):
            templates, kept = self._store.templates(), self._store.strangers()
            if not len(templates.ids):
                raise UsageError(f"{self._store.location}: no one is enrolled; nothing to calibrate")
            names, labels = np.unique(templates.identities.astype(str), return_inverse=True)
            others, whose = _all_strangers(kept, strangers)
            paths = ["(a stranger that the gallery keeps)"] * len(kept.ids)
            if strangers is not None:
                paths += [str(strangers.paths[row]) for row in np.flatnonzero(strangers.found)]
            everything = Probes.of(templates.vectors, labels, others, whose)
            near = everything.near_people(model)
            calibration = calibrate(
                templates.vectors, labels, target_fpir, others, whose, known=model, near=near
            )
            curve, now = (
                fit_confidence(templates.vectors, labels),
                datetime.now(UTC).isoformat(timespec="seconds"),
            )
            done = CalibrationRecord(calibration, curve, self._extractor.fingerprint, now)
            if not self._store.set_calibration(done.to_text(), calibration.identities, calibration.templates):
                continue

            def photos(
                rows: Sequence[int], ids: NDArray[np.int64] = templates.ids, paths: list[str] = paths
            ) -> list[str]:
                enrolled = [int(ids[row]) for row in rows if row < len(ids)]
                found = iter(self._store.photos(enrolled))
                return [next(found) if row < len(ids) else paths[row - len(ids)] for row in rows]

            people = [*names.tolist(), *np.unique(whose).tolist()]
            return done, set_aside(near, people, photos)
        raise UsageError(
            f"{self._store.location}: other processes keep changing it; calibrate when no one enrolls"
        )

    def comparisons(self, target_fpir: float, strangers: EmbeddedFolder | None = None) -> Comparisons:
        """Return the distances that a calibration rests on, to draw them.

        Args:
            target_fpir: limit of the share of strangers that are named.
            strangers: as for `calibrate`.
        """
        templates = self._store.templates()
        labels = np.unique(templates.identities.astype(str), return_inverse=True)[1]
        probes = Probes.of(templates.vectors, labels, *_all_strangers(self._store.strangers(), strangers))
        return compare(probes, target_fpir, self._extractor.manifest.strangers)

    def keep_strangers(self, strangers: EmbeddedFolder) -> int:
        """Store people who are known not to be enrolled, for all later calibrations.

        They are never an answer. A stranger whose name is enrolled is no stranger any more.

        Args:
            strangers: embedded by the same model.

        Returns:
            Number of photos that are new.
        """
        self._store.bind(self._extractor.fingerprint, self._extractor.dim)
        fresh = []
        for row in np.flatnonzero(strangers.found):
            path = strangers.paths[row]
            digest = hashlib.sha256(read_image_file(path)).digest()
            name = strangers.identities[strangers.labels[row]]
            fresh.append((name, NewTemplate(stored_path(path, self.home), digest, strangers.vectors[row])))
        return self._store.add_strangers(fresh)

    def templates_of(self, names: Container[str]) -> Templates | None:
        """Return the templates of some people; None from an engine with its own search."""
        return self._search.templates_of(names)

    def to_classifier(self) -> OpenSetNeighborsClassifier:
        """Fit a classifier of scikit-learn with the names and distances of `Identifier`."""
        return classifier_of(self._store, self._extractor, self._expired())

    def calibration(self) -> tuple[CalibrationRecord, str | None] | None:
        """Return the calibration, and why it is in doubt or None; None without one for this model."""
        return read_calibration(self._store, self._extractor.fingerprint)

    def revision(self) -> tuple[int, ...]:
        """Return a value that differs after any change of people or calibration by any process."""
        return self._store.revision()

    def identities(self) -> list[tuple[str, int]]:
        """List names and their number of templates, sorted by name."""
        return self._store.identities()


def checked_name(name: str) -> str:
    """Return a name in the form that is stored.

    Raises:
        UsageError: it cannot be shown or stored.
    """
    name = normal_name(name)
    if problem := name_problem(name):
        raise UsageError(f"{name[:LONGEST]!r}: {problem}")
    return name


def _all_strangers(
    kept: Templates, given: EmbeddedFolder | None
) -> tuple[NDArray[np.float32], NDArray[np.str_]]:
    """Join the strangers of a gallery and those a user gives.

    Returns:
        (m, dim) float32 rows, and (m,) names of the people they show.
    """
    vectors, whose = kept.vectors, kept.identities.astype(str)
    if given is None:
        return vectors, whose
    names = np.array(given.identities)[given.labels[given.found]]
    return np.concatenate([vectors, given.vectors[given.found]]), np.concatenate([whose, names])
