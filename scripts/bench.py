"""The figures of docs/benchmarks.md, ours beside what one could take instead. `make bench`.

Installs the rivals below `.bench/` if they are not there, runs the parts one after the other, keeps their
JSON lines in docs/measurements/benchmarks.json, and writes the page.

    python scripts/bench.py [--only cold warm bulk large search mapped scale training folder help milvus]
                            [--scratch FOLDER] [--quick] [--page-only]

`--only` measures some parts again and keeps the figures of the others; `mapped`, of which building takes
one to two hours, is left out without it. `--quick` shows that all works, in some minutes; what it finds goes
to `.bench/quick/`. It stops no part: a part that fails is named at the end, and its older figures stay.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench_page import page
from bench_rivals import BENCH, INDEXES, ROOT, install_all

PARTS = {
    "cold": "bench_cold",
    "warm": "bench_warm",
    "bulk": "bench_bulk",
    "large": "bench_large",
    "search": "bench_index --sizes 1000000",
    "mapped": "bench_index --sizes 10000000 --indexes approximate",
    "scale": "bench_scale --limit 120",
    "training": "bench_training --epochs 1",
    "folder": "bench_folder",
    "help": "bench_help --repeats 3",
    "milvus": "bench_milvus --parts goals --vectors 1000000",
}
LONG = ("mapped",)  # only if asked for
QUICK = {
    "cold": "--photos 10 --repeats 1",
    "warm": "--photos 10 --templates 1000",
    "bulk": "--photos 20 --sampled 4",
    "large": "--photos 1 --megapixels 1 2",
    "search": "--sizes 2000",
    "mapped": "--sizes 2000 --indexes approximate",
    "scale": "--sizes 200 400 --limit 60",
    "training": "--rounds 1 --epochs 1",
    "folder": "--people 4 --epochs 1",
    "help": "--repeats 1",
    "milvus": "--vectors 5000 --repeats 3",
}
WITH_FILES = ("search", "mapped", "scale")  # parts that take --scratch


def main() -> int:
    """Measure, keep, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    usual = [part for part in PARTS if part not in LONG]
    parser.add_argument("--only", nargs="+", choices=PARTS, default=usual)
    parser.add_argument("--scratch", type=Path, help="folder for galleries; memory, where there is /dev/shm")
    parser.add_argument("--quick", action="store_true", help="see that it works")
    parser.add_argument("--page-only", action="store_true", help="write the page from what is kept")
    options = parser.parse_args()
    docs = BENCH / "quick" if options.quick else ROOT / "docs"
    kept = docs / "measurements" / "benchmarks.json"
    kept.parent.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    failed = []
    if not options.page_only:
        install_all()
        for part in options.only:
            own = arguments(part, options.scratch, options.quick)
            print(f"\n{part}: scripts/{' '.join(own)}", flush=True)
            begun = time.monotonic()
            measured = run(part, own)
            print(f"{part}: {(time.monotonic() - begun) / 60:.1f} minutes", flush=True)
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


def arguments(part: str, scratch: Path | None, quick: bool) -> list[str]:
    """Give the script of a part and what it is run with; of an option given twice the later counts."""
    memory = Path("/dev/shm")
    folder = scratch or (memory if memory.is_dir() and part != "mapped" else None)
    script, *own = [*PARTS[part].split(), *(QUICK[part].split() if quick else [])]
    files = ["--scratch", str(folder)] if folder and part in WITH_FILES else []
    return [f"{script}.py", *own, *files]


def run(part: str, own: list[str]) -> dict[str, Any] | None:
    """Run a part, showing what it says; gives its JSON line with the date, None if it failed."""
    search = [str(INDEXES), *filter(None, [os.environ.get("PYTHONPATH")])]
    command = [sys.executable, str(Path(__file__).with_name(own[0])), *own[1:]]
    paths = {"PYTHONPATH": os.pathsep.join(search)} if part in ("search", "mapped") else {}
    last = ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | paths) as process:
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
