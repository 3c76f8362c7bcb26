"""The figures of docs/benchmarks.md, ours beside what one could take instead. `make bench`.

Installs the rivals below `.bench/` if they are not there, runs the parts one after the other, keeps their
JSON lines in docs/measurements/benchmarks.json, and writes the page.

    python scripts/bench.py [--only cold warm bulk search training finding soak] [--compile-dlib]
                            [--photos 10000] [--sizes 10000 100000 1000000] [--small] [--page-only]

`--only` measures some parts again and keeps the figures of the others. `--small` shows that all works, in
some minutes; what it finds goes to `.bench/small/`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench_page import page
from bench_rivals import BENCH, INDEXES, ROOT, install_all

PARTS = {
    "cold": "bench_cold",
    "warm": "bench_warm",
    "bulk": "bench_bulk",
    "search": "bench_index",
    "training": "bench_training",
    "finding": "bench_finding",
    "soak": "soak_identify",
}
SMALL = {
    "cold": "--photos 10 --repeats 2",
    "warm": "--photos 10 --templates 1000",
    "bulk": "--photos 100 --sampled 40 --theirs 20",
    "search": "--sizes 2000",
    "training": "--rounds 1 --epochs 1",
    "finding": "--portraits 10 --groups 3",
    "soak": "--calls 1200 --pictures 20",
}


def main() -> int:
    """Measure, keep, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--compile-dlib", action="store_true", help="some ten minutes, once")
    parser.add_argument("--photos", type=int, default=10_000, help="of the part bulk")
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], help="of search"
    )
    parser.add_argument("--small", action="store_true", help="see that it works")
    parser.add_argument("--page-only", action="store_true", help="write the page from what is kept")
    options = parser.parse_args()
    docs = BENCH / "small" if options.small else ROOT / "docs"
    kept = docs / "measurements" / "benchmarks.json"
    kept.parent.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    failed = []
    if not options.page_only:
        install_all(options.compile_dlib)
        for part in options.only:
            print(f"\n{part}: scripts/{PARTS[part]}.py", flush=True)
            own = SMALL[part].split() if options.small else arguments(part, options)
            measured = run(part, own)
            if measured is None:
                failed.append(part)
                continue
            figures[part] = measured
            keep(kept, figures)
    (docs / "benchmarks.md").write_text(page(figures))
    print(f"\nWrote {docs / 'benchmarks.md'} and {kept}")
    if failed:
        print(f"failed, older figures kept: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def arguments(part: str, options: argparse.Namespace) -> list[str]:
    """What a part is run with."""
    if part == "bulk":
        return ["--photos", str(options.photos)]
    if part == "search":
        memory = Path("/dev/shm")
        scratch = ["--scratch", str(memory)] if memory.is_dir() else []
        return ["--sizes", *map(str, options.sizes), *scratch]
    return []


def run(part: str, own: list[str]) -> dict[str, Any] | None:
    """Run a part, showing what it says; gives its JSON line with the date, None if it failed."""
    search = [str(INDEXES), *filter(None, [os.environ.get("PYTHONPATH")])]
    command = [sys.executable, str(Path(__file__).with_name(f"{PARTS[part]}.py")), *own]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(search)} if part == "search" else None
    last = ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{") and line.rstrip().endswith("}") and '"script"' in line:
                last = line
            else:
                print(line, end="", flush=True)
    if process.returncode or not last:
        return None
    return {**json.loads(last), "date": datetime.now(UTC).date().isoformat()}


def keep(path: Path, figures: dict[str, Any]) -> None:
    """Write the figures, one part a line."""
    ordered = [f"{json.dumps(part)}: {json.dumps(figures[part])}" for part in PARTS if part in figures]
    path.write_text("{\n" + ",\n".join(ordered) + "\n}\n")


if __name__ == "__main__":
    sys.exit(main())
