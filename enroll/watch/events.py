"""Identify the person of an event of Frigate from all its snapshots."""

from __future__ import annotations

import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from embedder.errors import ImageError
from embedder.faces.crop import main_face
from embedder.faces.photo import find_crops
from embedder.images import decode_frames
from enroll.agreement import Agreement, Evidence, agree
from enroll.decision import Decision, decide
from enroll.identify import Identifier
from enroll.sightings import worth
from enroll.watch.frigate import FrigateError
from enroll.watch.messages import FrigateEvent

if TYPE_CHECKING:
    from embedder.extractor import Extractor
    from enroll.gallery.gallery import Gallery

_log = logging.getLogger(__name__)
_MOST_EVENTS = 200  # followed at a time; a new one replaces the oldest
_SCALE = 2.0  # where nothing is calibrated: a distance of the threshold scores 1 / 2


class Server(Protocol):
    """Provides snapshots and accepts names; see `enroll.watch.frigate.Frigate`."""

    def snapshot(self, event: str) -> bytes:
        """Return the current snapshot of an event, a JPEG."""

    def set_sub_label(self, event: str, name: str, score: float) -> None:
        """Set the name of an event.

        Args:
            event: its id.
            name: the sub label.
            score: 0 to 1.
        """


@dataclass(frozen=True)
class WatchConfig:
    """Holds the options for following events.

    Attributes:
        agree: number of good snapshots that must give the same name; see `enroll.agreement`.
        margin: how much farther the second person must be.
        tries: largest number of snapshots fetched per event.
        every: seconds between two of them.
        cameras: whose events are followed; empty: all.
        unknown_label: sub label for people who are unknown at the end; empty: none is set.
        overwrite: replace sub labels that others have set.
    """

    agree: int = 2
    margin: float = 0.0
    tries: int = 12  # as Frigate's own recognition
    every: float = 1.0
    cameras: frozenset[str] = frozenset()
    unknown_label: str = ""
    overwrite: bool = False


@dataclass(frozen=True)
class EventAnswer:
    """Holds the answer for an event.

    Attributes:
        event: Frigate's id.
        camera: its name.
        agreement: the name or unknown, and how many snapshots agree.
        score: 0 to 1: the calibrated probability, if the gallery has one; else one that falls with the
            distance and is 1/2 at the threshold.
        final: whether the event is over.
    """

    event: str
    camera: str
    agreement: Agreement
    score: float
    final: bool


@dataclass(eq=False)
class _Followed:
    camera: str
    evidence: Evidence = field(default_factory=Evidence)
    pictures: set[bytes] = field(default_factory=set)
    tries: int = 0
    due: float = 0.0
    given: str | None = None  # the name that was given
    theirs: bool = False  # someone else has set a sub label
    over: bool = False


class EventIdentifier:
    """Follows events, and answers each as soon as its snapshots agree, or when it is over.

    Several events may be followed; memory is bounded.
    """

    def __init__(
        self,
        extractor: Extractor,
        gallery: Gallery,
        server: Server,
        threshold: float | None = None,
        config: WatchConfig | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Join a model, a gallery and a server.

        Args:
            extractor: the model the gallery was made with.
            gallery: the people to search.
            server: provides snapshots, accepts names.
            threshold: largest distance at which a name is given; None takes the gallery's if it is
                calibrated, else the model's.
            config: tries, agreement, cameras.
            clock: returns seconds.

        Raises:
            UsageError: no threshold is given or known, or it is not a distance.
        """
        self.basis = Identifier(extractor, gallery, threshold).basis
        self._extractor, self._gallery, self._server = extractor, gallery, server
        self._config, self._clock = config or WatchConfig(), clock
        self._events: OrderedDict[str, _Followed] = OrderedDict()

    def __len__(self) -> int:
        return len(self._events)

    def hear(self, event: FrigateEvent) -> None:
        """Process a message."""
        cameras = self._config.cameras
        if event.label != "person" or (cameras and event.camera not in cameras):
            return
        followed = self._events.get(event.event)
        if followed is None:
            if event.kind == "end":
                return  # it began before us, or was replaced: a single snapshot names no one
            while len(self._events) >= _MOST_EVENTS:
                oldest, _ = self._events.popitem(last=False)
                _log.warning(
                    "more than %d events at a time; %s is not followed any more", _MOST_EVENTS, oldest
                )
            followed = self._events[event.event] = _Followed(event.camera)
        label = event.sub_label
        followed.theirs = label is not None and label not in (followed.given, self._config.unknown_label)
        followed.over = event.kind == "end"
        if event.has_snapshot and followed.tries < self._config.tries:
            followed.due = min(followed.due, self._clock())  # there may be a better picture

    def wait(self) -> float | None:
        """Return the seconds until there is work, None if there is none."""
        due = [followed.due for followed in self._events.values() if self._is_open(followed)]
        return max(0.0, min(due) - self._clock()) if due else None

    def work(self) -> list[EventAnswer]:
        """Fetch the snapshots that are due, set names, and return the new answers."""
        answers = []
        for event, followed in list(self._events.items()):
            if not self._is_open(followed) or followed.due > self._clock():
                continue
            over = followed.over
            if followed.given is None and followed.tries < self._config.tries:
                self._look(event, followed)
            answer = self._answer(event, followed, over)
            name = answer.agreement.decision.identity
            if name is not None and followed.given is None:
                followed.given = name
                self._set_name(event, followed, name, answer.score)
                answers.append(answer)
            elif over:
                if name is None and self._config.unknown_label:
                    self._set_name(event, followed, self._config.unknown_label, answer.score)
                answers.append(answer)
            if over:
                del self._events[event]
        return answers

    def _is_open(self, followed: _Followed) -> bool:
        return followed.over or (followed.given is None and followed.tries < self._config.tries)

    def _look(self, event: str, followed: _Followed) -> None:
        """Fetch a snapshot and add its face; an unchanged picture counts once."""
        followed.tries += 1
        followed.due = self._clock() + self._config.every
        try:
            data = self._server.snapshot(event)
        except FrigateError as error:
            _log.warning("Frigate, event %s: %s", event, error)
            return
        digest = hashlib.sha256(data).digest()
        if digest in followed.pictures:
            return
        followed.pictures.add(digest)
        try:
            found = find_crops(decode_frames(data, event), self._extractor.crops, event)
        except ImageError as error:
            _log.warning("Frigate, event %s: its snapshot cannot be read: %s", event, error.reason)
            return
        if not found.crops:
            return
        crop = main_face(found.crops, found.pixels.shape)
        (vector,) = self._extractor.embed([crop.pixels])
        weight, good = worth(crop.quality)
        followed.evidence.add(vector, self._decide(vector), weight, good)

    def _decide(self, vector: np.ndarray[tuple[int], np.dtype[np.float32]]) -> Decision:
        (candidates,) = self._gallery.nearest_people(vector[None], 5)
        return decide(candidates, self.basis.distance, self._config.margin)

    def _answer(self, event: str, followed: _Followed, final: bool) -> EventAnswer:
        evidence = followed.evidence
        joint = (
            self._decide(evidence.mean())
            if evidence.frames
            else Decision(None, "few_frames", None, self.basis.distance, ())
        )
        return EventAnswer(
            event, followed.camera, agree(evidence, joint, self._config.agree), self._score(joint), final
        )

    def _score(self, decision: Decision) -> float:
        if decision.distance is None:
            return 0.0
        curve = self.basis.record.curve if self.basis.record else None
        if curve is not None:
            return curve.probability(decision.distance, decision.second)
        return max(0.0, 1 - decision.distance / (_SCALE * max(decision.threshold, 1e-6)))

    def _set_name(self, event: str, followed: _Followed, name: str, score: float) -> None:
        if followed.theirs and not self._config.overwrite:
            _log.info("Frigate, event %s has a sub label of someone else's, which stays", event)
            return
        try:
            self._server.set_sub_label(event, name, score)
        except FrigateError as error:
            _log.warning("Frigate, event %s: the sub label is not set: %s", event, error)
