"""Hold what all routes of a server share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.requests import Request

from enroll.serve.access import Caller, key_of

if TYPE_CHECKING:
    from enroll.serve.access import Access
    from enroll.serve.config import ServeConfig
    from enroll.serve.engine import Engine
    from enroll.serve.jobs import Jobs
    from enroll.serve.library import Reviewing
    from enroll.serve.metrics import Metrics
    from enroll.serve.people import People


@dataclass(frozen=True)
class Services:
    """Holds the parts of a server.

    Attributes:
        config: the options.
        engine: the model and the gallery.
        access: checks permissions.
        metrics: counts requests.
        people: manages the people of the gallery, and their pictures.
        jobs: runs long jobs.
        library: the photo library of the gallery.
        announced: names that CompreFace's clients have added, of people who have no photo yet.
    """

    config: ServeConfig
    engine: Engine
    access: Access
    metrics: Metrics
    people: People
    jobs: Jobs
    library: Reviewing
    announced: dict[str, None] = field(default_factory=dict)


def services_of(request: Request) -> Services:
    """Return the parts of the server that a request was sent to."""
    services: Services = request.app.state.services
    return services


def needs(scope: str) -> Callable[[Request], Awaitable[Caller]]:
    """Return the dependency of a route that needs a scope."""

    async def caller(request: Request) -> Caller:
        services = services_of(request)
        return await services.access.caller(request, key_of(request), scope, services.engine.run)

    return caller
