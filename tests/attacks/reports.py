"""Names of people in each report, in a process of its own: what draws plots takes memory.

python -m tests.attacks.reports
"""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import ExitStack
from html.parser import HTMLParser
from pathlib import Path
from unittest.mock import patch

from tests.attacks.outcomes import HARMLESS, Attack

_NAMES = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</title></style><b onclick='alert(1)'>",
    "--><svg/onload=alert(1)>",
    "{{ 7777 * 7 }}{% include 'style.css' %}",
    "../../../etc/passwd",
    "ada\u202egnp.exe",
    "ada\x1b[2J\x1b[H\n\0\udcff",
)


class _Elements(HTMLParser):
    """The elements of a page, and their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found += [tag, *(name for name, _ in attributes)]


def in_every_report(folder: Path) -> str:
    """They add no element and no attribute, and nothing of them is computed."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.attacks.reports"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-500:]
    return HARMLESS


ATTACKS: dict[str, tuple[Attack, str]] = {"names in every report": (in_every_report, HARMLESS)}


def main() -> None:
    from enroll.report import gallery_plots, plots, training_plots
    from tests.enroll.report.made import REPORTS

    assert len(REPORTS) == 5
    with ExitStack() as patched:
        for module in (plots, gallery_plots, training_plots):  # they have no name of anyone's
            patched.enter_context(patch.object(module, "to_svg", lambda *_: "<svg></svg>"))
        for kind, make in REPORTS.items():
            text = make(" ".join(_NAMES))
            assert _Elements(text).found == _Elements(make("ada")).found, kind
            assert "54439" not in text, kind
            assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e\ud800-\udfff]", text), kind


if __name__ == "__main__":
    main()
