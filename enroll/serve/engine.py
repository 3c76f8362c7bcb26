"""Run the model and the gallery of a server, on threads of their own."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from embedder._internal.runtime import usable_cores
from embedder.config import DetectorConfig, ImageLimits, use_limits
from embedder.errors import EmbedError, ForeignModelError, UsageError
from embedder.extractor import Extractor
from embedder.faces.photo import find_crops
from embedder.images import decode_frames
from enroll.config import IdentifyConfig
from enroll.gallery.gallery import Gallery
from enroll.identify import Identifier, PhotoResult
from enroll.serve.limits import retry_after
from enroll.serve.problems import ProblemError, problem_of
from enroll.store import Store, check_model, open_store

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedder.faces.crop import Crop
    from enroll.gallery.threshold import ThresholdSource
    from enroll.serve.config import ServeConfig

Result = TypeVar("Result")

EXPLAINED = 5  # enrolled photos per face that `explain` gives, as `embed identify --explain`
_MOST_KNOWN = 16  # identifiers that are kept, one for each set of options

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """Holds the options of a request to identify.

    Attributes:
        threshold: largest distance at which a name is given; None takes the gallery's, else the model's.
        config: the other options.
    """

    threshold: float | None = None
    config: IdentifyConfig = field(default_factory=IdentifyConfig)


class Session:
    """Holds the open gallery, shared by all threads."""

    def __init__(self, config: ServeConfig, extractor: Extractor) -> None:
        self.store: Store = open_store(config.gallery, create=True)
        self.extractor = extractor
        self._gallery: Gallery | None = None
        self._lock = threading.Lock()
        self._known: dict[Options, Identifier] = {}

    @property
    def gallery(self) -> Gallery:
        """The gallery, bound to the model.

        Raises:
            ForeignModelError: it was made with another one.
        """
        if self._gallery is None:
            self._gallery = Gallery(self.store, self.extractor)
        else:
            check_model(self.store, self.extractor.fingerprint, self.extractor.dim)
        return self._gallery

    def bound(self) -> Store:
        """Return the store of the gallery, if it is one of this model.

        Raises:
            ForeignModelError: it was made with another one.
        """
        check_model(self.store, self.extractor.fingerprint, self.extractor.dim)
        return self.store

    def identifier(self, options: Options) -> Identifier:
        """Return the identifier for some options; it follows the changes of any process."""
        if options.threshold is not None:  # of one request
            return Identifier(self.extractor, self.gallery, options.threshold, options.config)
        if (known := self._known.get(options)) is None:
            known = Identifier(self.extractor, self.gallery, None, options.config)
            with self._lock:
                if len(self._known) >= _MOST_KNOWN:
                    self._known.clear()
                self._known[options] = known
        return known

    def read_again(self) -> None:
        """Let the next answer use the threshold of now, also in a gallery that takes long to read."""
        with self._lock:
            self._known.clear()

    def close(self) -> None:
        """Close the gallery."""
        self.store.close()


def _log_failure(warming: Future[None]) -> None:
    """Log why a thread is not ready: otherwise only who asks it first is told."""
    if not warming.cancelled() and (error := warming.exception()) is not None:
        _log.error("a thread could not load the model: %s", error)


class Engine:
    """Runs work with the model or the gallery on threads.

    Refuses work that would wait too long.
    """

    def __init__(self, config: ServeConfig, extractor: Extractor | None = None) -> None:
        """Prepare; `start` loads the model.

        Args:
            config: of the server.
            extractor: the model, if it is loaded already.
        """
        self.config = config
        self.threads = config.threads or usable_cores()
        self._given = extractor
        self._session: Session | None = None
        self._lock = threading.Lock()
        self._warming = threading.Lock()
        self._waiting = 0
        self._pool = ThreadPoolExecutor(self.threads, "embed-serve")
        self.stopping = threading.Event()
        self.failure: str | None = "the model is being loaded"

    @property
    def extractor(self) -> Extractor:
        """The model.

        Raises:
            ProblemError: it is not loaded yet.
        """
        if self._given is None:
            raise ProblemError("not-ready", "the model is being loaded", retry_after(1))
        return self._given

    def start(self) -> None:
        """Load the model and open the gallery, unless that is done; one thread is warm when this returns.

        Raises:
            EmbedError: it cannot; a gallery of another model is served only to be embedded again.
        """
        if self.failure is None:
            return
        if self.config.max_pixels != ImageLimits.max_pixels:
            use_limits(replace(ImageLimits(), max_pixels=self.config.max_pixels))
        if self._given is None:
            finding = DetectorConfig(min_face=self.config.min_face, any_rotation=self.config.any_rotation)
            self._given = Extractor.load(self.config.model or None, finding=finding)
        if self._session is None:
            self._session = Session(self.config, self._given)
        every = threading.Barrier(self.threads)
        warming = [self._pool.submit(self._warm_up, every) for _ in range(self.threads)]
        if all(each.exception() for each in as_completed(warming)):  # ends at the first that is ready
            warming[0].result()
        for each in warming:
            each.add_done_callback(_log_failure)
        self.failure = None

    def _warm_up(self, every: threading.Barrier) -> None:
        """Load the networks of each thread, and the whole index, before the first request."""
        every.wait()  # else one idle thread takes all of these
        with self._warming:  # one after the other: the first is to answer soon
            session = self.session()
            self.extractor.embed(
                [crop.pixels for crop in self.extractor.crops(np.zeros((64, 64, 3), np.uint8))]
            )
            try:
                session.gallery.nearest_people(np.zeros((1, self.extractor.dim), np.float32), 1)
                session.identifier(Options())
            except ForeignModelError as error:
                _log.warning("%s", error)
            except UsageError:
                return  # no threshold is known: who asks to identify is told

    def session(self) -> Session:
        """Return the gallery.

        Raises:
            ProblemError: it is not open yet.
        """
        if self._session is None:
            raise ProblemError("not-ready", "the gallery is not open yet", retry_after(1))
        return self._session

    async def run(self, work: Callable[..., Result], *args: object) -> Result:
        """Run work in a thread; `session` gives it the gallery.

        Args:
            work: a function.
            *args: its arguments.

        Raises:
            ProblemError: too much work waits already, or the time limit passed.
        """
        if self._waiting >= self.config.waiting + self.threads:
            raise ProblemError("busy", f"{self.config.waiting} requests wait already", retry_after(1))
        self._waiting += 1
        future: Future[Result] = self._pool.submit(self._describe, work, *args)
        future.add_done_callback(lambda _: self._done())
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self.config.answer_seconds)
        except TimeoutError:
            if not future.cancelled() and future.done():
                raise
            raise ProblemError(
                "too-slow", f"not done within {self.config.answer_seconds:g} seconds", retry_after(5)
            ) from None

    def _describe(self, work: Callable[..., Result], *args: object) -> Result:
        """Run work, and convert our errors to problems that do not say where the gallery is."""
        try:
            return work(*args)
        except EmbedError as error:
            raise problem_of(error, self.config.gallery) from error

    def _done(self) -> None:
        with self._lock:
            self._waiting -= 1

    async def identify(
        self, photos: Sequence[tuple[str, bytes]], options: Options
    ) -> tuple[list[PhotoResult], ThresholdSource]:
        """Identify the faces of pictures.

        Args:
            photos: names for messages, and the bytes of the files.
            options: of the request.

        Raises:
            ProblemError: too much work waits already.
            EmbedError: the gallery or the model cannot be used.
        """
        return await self.run(self._identify, photos, options)

    def _identify(
        self, photos: Sequence[tuple[str, bytes]], options: Options
    ) -> tuple[list[PhotoResult], ThresholdSource]:
        identifier = self.session().identifier(options)
        answers = []
        for name, data in photos:
            (answer,) = identifier.identify_many([data])
            answers.append(replace(answer, photo=name))
        return answers, identifier.basis

    def crops(self, data: bytes, name: str) -> tuple[NDArray[np.uint8], list[Crop]]:
        """Find the faces of a picture; in a thread of the pool.

        Returns:
            (height, width, 3) uint8 RGB, and its faces, the largest first.

        Raises:
            ImageError: it cannot be read.
        """
        found = find_crops(decode_frames(data, name), self.extractor.crops, name)
        return found.pixels, found.crops

    def readiness(self) -> str | None:
        """Return why no request can be answered, or None; runs in a thread of the pool."""
        if self.failure:
            return self.failure
        try:
            self.session().gallery.identities()
        except ForeignModelError:
            return "the gallery was made with another model"
        except EmbedError:
            return "the gallery cannot be read"
        return None

    def close(self) -> None:
        """Finish the running work, and close the gallery."""
        self.stopping.set()
        self._pool.shutdown()
        if self._session is not None:
            self._session.close()
