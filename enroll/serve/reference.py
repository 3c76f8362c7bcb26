"""Show the OpenAPI document as a page: no script, nothing from other servers."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

if TYPE_CHECKING:
    from jinja2 import Template

_DIALECTS = "dialects"  # routes without a tag of ours

router = APIRouter(include_in_schema=False)


@router.get("/docs")
async def reference(request: Request) -> Response:
    """Give the page."""
    document = request.app.openapi()
    return HTMLResponse(
        _template().render(document=document, groups=_groups(document), shape=_Shapes(document))
    )


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader

    loader = PackageLoader("enroll.serve", "templates")
    return Environment(loader=loader, autoescape=True).get_template("reference.html.j2")


def _groups(document: dict[str, Any]) -> list[tuple[str, str, list[dict[str, Any]]]]:
    """Return the operations by tag: its name, its description, and the operations."""
    described = {tag["name"]: tag.get("description", "") for tag in document.get("tags", ())}
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in described}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            tag = next(iter(operation.get("tags", ())), _DIALECTS)
            found.setdefault(tag, []).append({"method": method.upper(), "path": path, **operation})
    return [(tag, described.get(tag, ""), operations) for tag, operations in found.items() if operations]


class _Shapes:
    """Describes a schema in one line."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._known = document.get("components", {}).get("schemas", {})

    def __call__(self, schema: dict[str, Any]) -> str:
        """Return the type of a value."""
        if "$ref" in schema:
            return str(schema["$ref"]).rpartition("/")[2]
        if "anyOf" in schema:
            return " or ".join(self(one) for one in schema["anyOf"])
        if "enum" in schema:
            return ", ".join(map(str, schema["enum"]))
        if schema.get("type") == "array":
            return f"list of {self(schema['items'])}" if isinstance(schema.get("items"), dict) else "list"
        kind = str(schema.get("type", "anything"))
        return "file" if schema.get("format") == "binary" else kind

    def members(self, schema: dict[str, Any]) -> list[tuple[str, str, str]]:
        """Return name, type and description of each member of an object."""
        if "$ref" in schema:
            schema = self._known.get(str(schema["$ref"]).rpartition("/")[2], {})
        return [
            (name, self(part), part.get("description", ""))
            for name, part in schema.get("properties", {}).items()
        ]

    def schemas(self) -> list[tuple[str, dict[str, Any]]]:
        """List all objects that have a name."""
        return sorted(self._known.items())
