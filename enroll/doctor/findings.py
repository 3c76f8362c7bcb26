"""What was found, each kind once for a text and for JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_LISTED = 20  # entries of each kind in a text; JSON has all


@dataclass(frozen=True)
class Finding:
    """One thing that was found, in words and for JSON; `command` mends it."""

    text: str
    facts: dict[str, Any]
    command: str | None = None


@dataclass(frozen=True)
class Section:
    """All findings of one kind: their name in JSON and in a text."""

    key: str
    title: str
    findings: tuple[Finding, ...]

    def lines(self) -> Iterator[str]:
        """Give them as text, or say that there are none."""
        yield f"{self.title}: {len(self.findings) or 'none'}"
        for finding in self.findings[:_LISTED]:
            yield f"  {finding.text}"
            if finding.command:
                yield f"      {finding.command}"
        if len(self.findings) > _LISTED:
            yield f"  and {len(self.findings) - _LISTED} more; --json lists all"

    def facts(self) -> list[dict[str, Any]]:
        """Give them for JSON."""
        return [
            entry.facts | ({"command": entry.command} if entry.command else {}) for entry in self.findings
        ]
