"""Serve identification over HTTP: our own REST API, and two dialects that cameras use.

```
app ─┬─ api, manage      our own routes: identify and people; calibration, doctor, jobs
     ├─ compreface       the routes of CompreFace
     ├─ deepstack        the routes of DeepStack and CodeProject.AI
     ├─ operations       /healthz, /readyz, /metrics
     ├─ page             the web page: plain files in static/, which use our own routes
     ├─ reference        /docs: all routes as a page
     ├─ guard            checks of every request: host, origin, size, time, log
     ├─ access           permissions: keys, limits per key
     └─ engine           the model and the gallery, on threads of their own
server                   uvicorn around it, for `embed serve`
```
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from enroll.serve.app import create_app
    from enroll.serve.config import ServeConfig

__all__ = ["ServeConfig", "create_app"]


def __getattr__(name: str) -> object:
    from embedder._internal import lazy_names

    return lazy_names(__name__, {"create_app": "app", "ServeConfig": "config"})(name)
