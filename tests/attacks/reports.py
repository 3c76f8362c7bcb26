"""Names of people in each report, in a process of its own: what draws plots takes memory.

python -m tests.attacks.reports KIND
"""

from __future__ import annotations

import re
import subprocess
import sys
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

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


def in_a_report(kind: str, folder: Path) -> str:
    """They add no element and no attribute, and nothing of them is computed."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.attacks.reports", kind],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-500:]
    return HARMLESS


KINDS = ("an evaluation", "a calibration", "an examination", "groups", "a training")
ATTACKS: dict[str, tuple[Attack, str]] = {
    f"names in the report of {kind}": (partial(in_a_report, kind), HARMLESS) for kind in KINDS
}


def main(kind: str) -> None:
    from tests.enroll.report.made import REPORTS

    assert set(REPORTS) == set(KINDS)
    text = REPORTS[kind](" ".join(_NAMES))
    assert _Elements(text).found == _Elements(REPORTS[kind]("ada")).found
    assert "54439" not in re.sub(r"<svg.*?</svg>|base64,[^\"]*", "", text, flags=re.DOTALL)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e\ud800-\udfff]", text)


if __name__ == "__main__":
    main(sys.argv[1])
