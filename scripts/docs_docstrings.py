"""Let the reference show the examples of docstrings as code; an extension of griffe, which mkdocs.yml names.

Our docstrings say `Example:`; the section of Google's style is `Examples:`. Without
this an example is read as Markdown, and `[0.2, 0.2]` in it as a link to nowhere.
"""

from __future__ import annotations

import re
from typing import Any

import griffe


class ExamplesAsCode(griffe.Extension):
    """Renames the section in every docstring that is read."""

    def on_instance(self, *, obj: Any, **_: Any) -> None:
        """Rename it in the docstring of a module, class, function or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"(?m)^Example:$", "Examples:", obj.docstring.value)
