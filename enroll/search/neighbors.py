"""Search among rows of any length by scikit-learn alone, dense or sparse.

`enroll.search.exact` is for templates, unit rows in float32, and answers few of them in numpy. Both leave it
to `enroll.search.base` to compute distances and order, so that their answers are the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from sklearn import config_context
from sklearn.neighbors import NearestNeighbors

from enroll.search.base import Matches

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


class NeighborsIndex:
    """Searches rows by `sklearn.neighbors.NearestNeighbors`, brute force."""

    def __init__(self, rows: Any, identities: NDArray[np.object_], n_jobs: int | None = None) -> None:
        """Build the index of some rows; nothing is copied.

        Args:
            rows: (n, dim) float32 or float64, finite; an array, or a CSR matrix.
            identities: (n,) object, names.
            n_jobs: number of processors, as for `NearestNeighbors`.
        """
        with config_context(assume_finite=True):
            found = NearestNeighbors(algorithm="brute", metric="euclidean", n_jobs=n_jobs).fit(rows)
        self._search, self._rows, self._identities = found, rows, identities
        self._people = len(set(identities))
        # scikit-learn's |x|² - 2xy + |y|² in float64, each sum of dim products off by dim half roundings
        # of the largest, and the queries rounded to the rows' type: nearer pairs are compared again.
        self._longest = float(np.sqrt(_squares(rows).max()))
        self._rounding = float(np.sqrt(4 * (rows.shape[1] + 8) * np.finfo(np.float64).eps) + 1e-6)

    @property
    def templates(self) -> int:
        """The number of rows."""
        return len(self._identities)

    @property
    def people(self) -> int:
        """The number of people they show."""
        return self._people

    def nearest(self, queries: NDArray[np.floating], count: int) -> Iterator[Matches]:
        """Find the `count` nearest rows of each query, one after the other; see `SearchIndex`.

        Args:
            queries: (n, dim) float32 or float64.
            count: number of rows per query, at least 1.
        """
        asked = queries.astype(self._rows.dtype, copy=False)
        longest = np.maximum(np.sqrt(_squares(queries)), self._longest)
        if sparse.issparse(self._rows):
            asked = sparse.csr_matrix(asked)
        with config_context(assume_finite=True):
            distances, rows = self._search.kneighbors(asked, min(count, self.templates))
        reaches = distances[:, -1] - self._rounding * longest
        for row, reach in zip(rows, reaches.tolist(), strict=True):
            vectors = self._rows[row]
            if sparse.issparse(vectors):
                vectors = vectors.toarray()
            whole = len(row) == self.templates
            yield Matches(row.astype(np.int64), self._identities[row], vectors, np.inf if whole else reach)


def _squares(rows: Any) -> NDArray[np.float64]:
    """Compute the squared length of each row, (n,) float64."""
    if sparse.issparse(rows):
        wide = rows.astype(np.float64)
        return np.asarray(wide.multiply(wide).sum(axis=1)).ravel()
    return np.asarray(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
