"""Count for Prometheus: requests, times and outcomes; no names, keys or addresses."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from enroll.decision import Decision
    from enroll.identify import PhotoResult

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SHARED = "PROMETHEUS_MULTIPROC_DIR"  # read by prometheus_client when it is imported

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """Holds the counters of a server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        labels = ("route", "method", "status")
        self._requests = Counter("embed_http_requests", "Requests answered.", labels, registry=self._registry)
        self._seconds = Histogram(
            "embed_http_request_duration_seconds",
            "From the first byte of a request to the last of its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._photos = Counter("embed_photos", "Pictures looked at.", ("outcome",), registry=self._registry)
        self._faces = Counter(
            "embed_identifications", "Faces answered.", ("outcome",), registry=self._registry
        )
        self._enrolled = Counter("embed_enrolled_photos", "Photos enrolled.", registry=self._registry)
        self._erased = Counter("embed_erased_photos", "Photos erased.", registry=self._registry)
        self._people = Gauge(
            "embed_gallery_people",
            "People enrolled.",
            registry=self._registry,
            multiprocess_mode="mostrecent",
        )
        self._templates = Gauge(
            "embed_gallery_photos",
            "Photos enrolled.",
            registry=self._registry,
            multiprocess_mode="mostrecent",
        )

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request that was answered.

        Args:
            route: of the request.
            method: of HTTP.
            status: of HTTP.
            seconds: that it took.
        """
        self._requests.labels(route, method if method in _METHODS else "other", str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def answers(self, answers: Iterable[PhotoResult]) -> None:
        """Count pictures and faces that were answered."""
        for answer in answers:
            outcome = "unreadable" if answer.error else "faces" if answer.faces else "no_face"
            self._photos.labels(outcome).inc()
            self.faces(face.decision for face in answer.faces)

    def faces(self, decisions: Iterable[Decision]) -> None:
        """Count faces that were answered."""
        for decision in decisions:
            self._faces.labels(decision.reason).inc()

    def enrolled(self, photos: int) -> None:
        """Count photos that were enrolled."""
        self._enrolled.inc(photos)

    def erased(self, photos: int) -> None:
        """Count photos that were erased."""
        self._erased.inc(photos)

    def text(self, people: int, photos: int) -> bytes:
        """Return all counters as text, those of all processes if there are several.

        Args:
            people: number of people in the gallery now.
            photos: number of their photos.
        """
        self._people.set(people)
        self._templates.set(photos)
        if not os.environ.get(SHARED):
            return generate_latest(self._registry)
        from prometheus_client import multiprocess

        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
