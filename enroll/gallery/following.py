"""Search a gallery with an index that follows the changes of any process."""

from __future__ import annotations

import logging
import threading
from collections.abc import Container, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from embedder.errors import UsageError
from enroll.search.approximate import forget_index, index_path, load_index, save_index
from enroll.search.base import INDEXES
from enroll.store.base import check_model

if TYPE_CHECKING:
    from enroll.search.approximate import Graph
    from enroll.search.base import GrowableIndex, SearchIndex
    from enroll.store.base import Store
    from enroll.templates import Templates

_LACKING = 0.05  # of the nodes of an index file: it is written again once it lacks more

_log = logging.getLogger(__name__)


class _SearchLock:
    """Allows any number of searches at once, or one change.

    A waiting change holds up new searches.
    """

    def __init__(self) -> None:
        self._free = threading.Condition()
        self._searches, self._changes = 0, 0

    @contextmanager
    def search(self) -> Iterator[None]:
        with self._free:
            self._free.wait_for(lambda: not self._changes)
            self._searches += 1
        try:
            yield
        finally:
            with self._free:
                self._searches -= 1
                self._free.notify_all()

    @contextmanager
    def change(self) -> Iterator[None]:
        with self._free:
            self._changes += 1
            try:
                self._free.wait_for(lambda: not self._searches)
                yield
            finally:
                self._changes -= 1
                self._free.notify_all()


class LiveIndex:
    """Searches a gallery: by the engine's own search, or by an index of this process.

    Threads may share it if they search by `searching`.
    """

    def __init__(self, store: Store, model: tuple[str, int], index: str = "exact") -> None:
        """Follow a gallery; it is read at the first search.

        Args:
            store: the gallery.
            model: fingerprint and vector length that it must have.
            index: one of `INDEXES`.

        Raises:
            UsageError: no such index.
        """
        if index not in INDEXES:
            raise UsageError(f"--index: expected one of {', '.join(INDEXES)}, got {index!r}")
        self._store, self._model, self._index = store, model, index
        self._search_index: GrowableIndex | None = None
        self._generation: int | None = None
        self._last = 0
        self._cached = 0  # nodes in the index file
        self._turns = _SearchLock()

    def prepare(self) -> None:
        """Start to import in the background what searching many templates needs."""
        from enroll.search.exact import FEW

        if self._index == "exact" and self._store.search_index() is None and self._store.changes()[1] > FEW:
            threading.Thread(target=import_module, args=("sklearn.neighbors",), daemon=True).start()

    @contextmanager
    def searching(self) -> Iterator[SearchIndex]:
        """Lend an index of all current templates, which is not changed until the block ends.

        Raises:
            Exception: as `search_index`.
        """
        if (own := self._own_search()) is not None:
            yield own
            return
        if self._search_index is None or (self._generation, self._last) != self._store.changes():
            with self._turns.change():
                self.search_index()
        with self._turns.search():
            assert self._search_index is not None
            yield self._search_index

    def templates_of(self, names: Container[str]) -> Templates | None:
        """Return the templates of some people; None from an engine with its own search.

        Raises:
            Exception: as `search_index`.
        """
        if self._own_search() is not None:
            return None
        with self.searching():
            assert self._search_index is not None
            return self._search_index.pool.of_people(names)

    def search_index(self) -> SearchIndex:
        """Return an index of all current templates; for one thread, or inside a turn.

        Raises:
            GalleryError: the gallery cannot be read, or was made with another model.
            UsageError: an index was asked for and the engine has its own.
            MissingPackageError: the index needs a package.
        """
        if (own := self._own_search()) is not None:
            return own
        generation, last = self._store.changes()
        if self._search_index is None or not self._search_index.templates or generation != self._generation:
            self._search_index = self._made(self._check_model(self._store.templates()))
            self._keep(generation, rewrite=self._generation is not None)
        elif last != self._last:
            after = max(self._last, self._search_index.pool.last)
            self._search_index.extend(self._check_model(self._store.templates(after)))
            self._keep(generation)
        self._generation, self._last = generation, last
        return self._search_index

    def _own_search(self) -> SearchIndex | None:
        """Return the engine's own search, if it has one."""
        own = self._store.search_index()
        if own is not None and self._index != INDEXES[0]:
            raise UsageError(f"--index: {self._store.location} has an index of its own; leave it out")
        return own

    def _check_model(self, templates: Templates) -> Templates:
        """Check the model after reading, because another process may have bound or replaced the gallery."""
        check_model(self._store, *self._model)
        return templates

    def _made(self, templates: Templates) -> GrowableIndex:
        if self._index == "exact":
            from enroll.search.exact import ExactIndex

            return ExactIndex(templates)
        from enroll.search.approximate import ApproximateIndex

        if isinstance(self._search_index, ApproximateIndex):
            graph = self._search_index.graph_of(templates)
        else:
            graph = self._loaded(templates)
        return ApproximateIndex(templates, graph)

    def _loaded(self, templates: Templates) -> Graph | None:
        if (gallery := self._gallery_file()) is None:
            return None
        try:
            graph = load_index(index_path(gallery), templates)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            _log.warning("%s: not used, the index is rebuilt: %s", index_path(gallery), error)
            return None
        self._cached = len(graph)
        return graph

    def _keep(self, generation: int, rewrite: bool = False) -> None:
        """Write the index file, if it lacks many templates or was deleted because someone was erased."""
        from enroll.search.approximate import ApproximateIndex

        gallery, search_index = self._gallery_file(), self._search_index
        if gallery is None or not isinstance(search_index, ApproximateIndex):
            return
        lacking = search_index.templates - self._cached
        if not rewrite and lacking <= _LACKING * self._cached:
            return
        try:
            save_index(index_path(gallery), search_index.graph(), search_index.pool.parts)
            self._cached = search_index.templates
            if self._store.changes()[0] != generation:  # someone was erased in the meantime
                forget_index(gallery)
        except OSError as error:
            _log.warning("%s: not written, the index will be rebuilt: %s", index_path(gallery), error)

    def _gallery_file(self) -> Path | None:
        """Return the file beside which an index may be kept, or None."""
        from enroll.store.sqlite.store import SqliteStore

        if not isinstance(self._store, SqliteStore) or self._store.encrypted:
            return None
        return self._store.path
