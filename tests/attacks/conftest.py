"""The harness is in the scripts; they import each other by file name."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "scripts"))

if os.name == "nt":  # it forks, and limits memory and time by what POSIX has
    collect_ignore_glob = ["test_*.py"]
