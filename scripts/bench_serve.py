"""`embed serve` beside the bare Identifier, on one machine: how fast, how steady, and what a kill loses.

The clients run in this process and take their share of the cores. Photos of 800 x 600 pixels with one face
(`bench_photos.py`), the built-in network, a gallery of random templates. Each part can be left out:

latency     p50 and p95 of one identify with 1, 8 and 32 clients; the bare call and one client in turns
throughput  photos a second with 8 clients, and of the bare Identifier's bulk, in turns
start       from the command to the first answer
soak        many requests: errors, and the growth of the server's memory
writers     8 clients that enroll and erase and 8 that ask, side by side: lost enrolments, answers of 5xx
kills       killed while people are enrolled: is every enrolment that was answered there?

Prints what was found and, last, one JSON line.

    python scripts/bench_serve.py [--parts latency,throughput,start,soak,writers,kills] [--photos 60]
        [--templates 10000] [--requests 2000] [--seconds 30] [--kills 10] [--threads 0]
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import signal
import statistics
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench_photos import EMBED, write_people
from bench_warm import fill
from measured_run import as_installed

from embedder import Extractor
from enroll import Gallery, Identifier

API = "/api/v1"
PARTS = ("latency", "throughput", "start", "soak", "writers", "kills")
CLIENTS = (1, 8, 32)
PER_PERSON = 10
ROUNDS = 5  # of bare and served, in turns: a machine that others use is not always as fast
SETTLE = 0.2  # share of a soak after which memory counts as the start
BOUNDARY = "bench-serve"


class Client:
    """A connection that stays open."""

    def __init__(self, address: str) -> None:
        self._place = address.removeprefix("http://").rstrip("/")
        self._connection: http.client.HTTPConnection | None = None

    def ask(self, method: str, path: str, photo: bytes | None = None) -> tuple[int, bytes]:
        """Ask once; the connection is made again if the server has closed it."""
        headers, body = {}, None
        if photo is not None:
            part = 'Content-Disposition: form-data; name="photos"; filename="1.jpg"'
            body = b"".join(
                [f"--{BOUNDARY}\r\n{part}\r\n\r\n".encode(), photo, f"\r\n--{BOUNDARY}--\r\n".encode()]
            )
            headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        for attempt in range(2):
            if self._connection is None:
                self._connection = http.client.HTTPConnection(self._place, timeout=120)
            try:
                self._connection.request(method, path, body, headers)
                answered = self._connection.getresponse()
                return answered.status, answered.read()
            except (OSError, http.client.HTTPException):
                self._connection.close()
                self._connection = None
                if attempt or photo is None or path != f"{API}/identify":
                    raise
        raise AssertionError


def main() -> None:
    """Measure the parts, print what was found and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--photos", type=int, default=60)
    parser.add_argument("--templates", type=int, default=10_000)
    parser.add_argument("--requests", type=int, default=2000, help="of the soak")
    parser.add_argument("--seconds", type=float, default=30.0, help="of writers and readers")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--threads", type=int, default=0, help="of the server that answer; 0: one a core")
    options = parser.parse_args()
    parts = options.parts.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"--parts: expected some of {', '.join(PARTS)}, got {', '.join(unknown)}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        photos = [path.read_bytes() for path in write_people(folder / "people", options.photos, PER_PERSON)]
        extractor = Extractor.load()
        fill(folder / "gallery.db", extractor, options.templates)
        found: dict[str, Any] = {}
        for part in PARTS:
            if part in parts:
                found[part] = MEASURED[part](folder, photos, extractor, options)
                print(f"{part}: {json.dumps(found[part])}", flush=True)
    from bench_main_job import surroundings

    print(json.dumps({"script": "bench_serve", **surroundings(), "seed": 0, **vars(options), **found}))


@contextmanager
def served(gallery: Path, threads: int = 0) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run `embed serve` until the block ends; gives its address when it is ready."""
    words = [*EMBED, "serve", "--gallery", str(gallery), "--port", "0", "--per-minute", "100000000"]
    if threads:
        words += ["--threads", str(threads)]
    log = gallery.with_suffix(".log").open("a")
    pipe, env = subprocess.PIPE, as_installed()
    with log, subprocess.Popen(words, stdout=pipe, stderr=log, text=True, env=env) as process:
        assert process.stdout is not None
        try:
            found = re.search(r"http://\S+", process.stdout.readline())
            assert found, gallery.with_suffix(".log").read_text()[-2000:]
            yield found[0], process
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()


def asked(address: str, photos: Sequence[bytes], clients: int) -> tuple[list[float], Counter[int], float]:
    """Let clients ask for photos; gives the seconds of each, the statuses, and the seconds of all."""
    own = threading.local()
    statuses: Counter[int] = Counter()

    def ask(photo: bytes) -> float:
        if not hasattr(own, "client"):
            own.client = Client(address)
        begun = time.perf_counter()
        status, _ = own.client.ask("POST", f"{API}/identify", photo)
        statuses[status] += 1
        return time.perf_counter() - begun

    with ThreadPoolExecutor(clients) as pool:
        begun = time.perf_counter()
        seconds = list(pool.map(ask, photos))
        return seconds, statuses, time.perf_counter() - begun


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Give p50 and p95 in milliseconds."""
    ordered = sorted(seconds)
    return {
        "p50_ms": round(1000 * statistics.median(ordered), 2),
        "p95_ms": round(1000 * ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))], 2),
    }


def bare(folder: Path, extractor: Extractor) -> Identifier:
    """Give the Identifier without a server."""
    return Identifier(extractor, Gallery.open(folder / "gallery.db", extractor))


def latency(folder: Path, photos: list[bytes], extractor: Extractor, options: Any) -> dict[str, Any]:
    """Measure one call, bare and served in turns; then more clients at once."""
    identifier = bare(folder, extractor)
    with served(folder / "gallery.db", options.threads) as (address, _):
        client = Client(address)
        for photo in photos[:5]:
            identifier.identify(photo)
            client.ask("POST", f"{API}/identify", photo)
        times: dict[str, list[float]] = {"bare": [], "served": []}
        for photo in photos:
            begun = time.perf_counter()
            identifier.identify(photo)
            between = time.perf_counter()
            client.ask("POST", f"{API}/identify", photo)
            times["bare"].append(between - begun)
            times["served"].append(time.perf_counter() - between)
        found: dict[str, Any] = {name: percentiles(seconds) for name, seconds in times.items()}
        ratios = [own / other for own, other in zip(times["served"], times["bare"], strict=True)]
        found["served_to_bare_p50"] = round(found["served"]["p50_ms"] / found["bare"]["p50_ms"], 3)
        found["served_to_bare_by_photo"] = round(statistics.median(ratios), 3)
        for clients in CLIENTS:
            seconds, statuses, _ = asked(address, photos * (1 if clients == 1 else 3), clients)
            found[f"{clients} clients"] = percentiles(seconds) | {"statuses": dict(statuses)}
    return found


def throughput(folder: Path, photos: list[bytes], extractor: Extractor, options: Any) -> dict[str, Any]:
    """Measure photos a second: the bare bulk and 8 clients in turns."""
    identifier = bare(folder, extractor)
    rates: dict[str, list[float]] = {"bare": [], "served": []}
    with served(folder / "gallery.db", options.threads) as (address, _):
        asked(address, photos[:16], 8)
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            list(identifier.identify_many(photos))
            rates["bare"].append(len(photos) / (time.perf_counter() - begun))
            rates["served"].append(len(photos) / asked(address, photos, 8)[2])
    found: dict[str, Any] = {
        f"{name}_photos_per_second": [round(rate, 2) for rate in own] for name, own in rates.items()
    }
    ratios = [own / other for own, other in zip(rates["served"], rates["bare"], strict=True)]
    return found | {"served_to_bare": round(statistics.median(ratios), 3)}


def start(folder: Path, photos: list[bytes], extractor: Extractor, options: Any) -> dict[str, Any]:
    """Measure from the command to the first answer, and how much of it is the server's own work."""
    seconds, worked = [], []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        with served(folder / "gallery.db", options.threads) as (address, process):
            status, _ = Client(address).ask("POST", f"{API}/identify", photos[0])
            seconds.append(time.perf_counter() - begun)
            ticks = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
            worked.append(sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK"))
            assert status == 200, status
    return {
        "seconds": [round(one, 2) for one in seconds],
        "median": round(statistics.median(seconds), 2),
        "cpu_seconds": [round(one, 2) for one in worked],
    }


def memory(process: subprocess.Popen[str]) -> int:
    """Give the resident memory of a process in bytes."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def soak(folder: Path, photos: list[bytes], extractor: Extractor, options: Any) -> dict[str, Any]:
    """Ask many times; memory counts from a fifth of the way on."""
    statuses: Counter[int] = Counter()
    sizes = []
    with served(folder / "gallery.db", options.threads) as (address, process):
        done, block = 0, max(len(photos), options.requests // 50)
        while done < options.requests:
            some = [photos[(done + number) % len(photos)] for number in range(block)]
            statuses += asked(address, some, 8)[1]
            done += block
            sizes.append(memory(process))
    first = sizes[int(SETTLE * len(sizes))]
    return {
        "requests": done,
        "statuses": dict(statuses),
        "megabytes": [round(size / 2**20) for size in sizes],
        "growth": round(max(sizes[-3:]) / first - 1, 4),
    }


def writers(folder: Path, photos: list[bytes], extractor: Extractor, options: Any) -> dict[str, Any]:
    """Let 8 clients enroll and erase people of their own while 8 ask; then look what is there."""
    end = time.monotonic() + options.seconds
    statuses: Counter[int] = Counter()
    expected: dict[str, bool] = {}
    numbers = iter(range(10**9))
    lock = threading.Lock()

    def write(writer: int, address: str) -> None:
        client, mine = Client(address), []
        while time.monotonic() < end:
            with lock:
                number = next(numbers)
            name = f"writer{writer}-{number}"
            unique = photos[number % len(photos)] + f"{number}".encode()  # behind the picture's end
            status, _ = client.ask("POST", f"{API}/people/{name}/photos", unique)
            statuses[status] += 1
            if status == 201:
                expected[name] = True
                mine.append(name)
            if len(mine) > 5:
                gone = mine.pop(0)
                status, _ = client.ask("DELETE", f"{API}/people/{gone}")
                statuses[status] += 1
                expected[gone] = status != 200

    def read(address: str) -> None:
        client = Client(address)
        while time.monotonic() < end:
            for photo in photos[:4]:
                statuses[client.ask("POST", f"{API}/identify", photo)[0]] += 1

    with served(folder / "gallery.db", options.threads) as (address, _):
        with ThreadPoolExecutor(16) as pool:
            working = [pool.submit(write, number, address) for number in range(8)]
            working += [pool.submit(read, address) for _ in range(8)]
            for one in working:
                one.result()
        names = {name for name, _ in Gallery.open(folder / "gallery.db", extractor).identities()}
    lost = [name for name, there in expected.items() if there and name not in names]
    back = [name for name, there in expected.items() if not there and name in names]
    return {
        "statuses": dict(statuses),
        "enrolled": sum(expected.values()),
        "lost": len(lost),
        "erased_and_there": len(back),
        "5xx": sum(count for status, count in statuses.items() if status >= 500),
    }


def kills(folder: Path, photos: list[bytes], extractor: Extractor, options: Any) -> dict[str, Any]:
    """Kill the server while people are enrolled, again and again; then look what is there."""
    gallery = folder / "killed.db"
    answered: list[str] = []
    refused: Counter[int] = Counter()
    for round_ in range(options.kills):
        with served(gallery, options.threads) as (address, process):
            Client(address).ask("POST", f"{API}/identify", photos[0])

            def write(writer: int, address: str = address, round_: int = round_) -> None:
                client = Client(address)
                for number in range(10_000):
                    name = f"r{round_}-{writer}-{number}"
                    unique = photos[number % len(photos)] + name.encode()
                    try:
                        status, _ = client.ask("POST", f"{API}/people/{name}/photos", unique)
                    except (OSError, http.client.HTTPException):
                        return  # killed
                    if status == 201:
                        answered.append(name)
                    else:
                        refused[status] += 1

            with ThreadPoolExecutor(4) as pool:
                for writer in range(4):
                    pool.submit(write, writer)
                before, end = len(answered), time.monotonic() + 30
                while len(answered) < before + 2 + round_ % 5 and time.monotonic() < end:
                    time.sleep(0.01)
                time.sleep(0.013 * (round_ % 7))  # at another moment of a request each time
                process.kill()
    with served(gallery, options.threads) as (address, _):
        Client(address).ask("POST", f"{API}/identify", photos[0])
    with Gallery.open(gallery, extractor) as opened:
        there = dict(opened.identities())
    kept = {path.name for path in (folder / "killed.db.photos").iterdir() if not path.name.startswith(".")}
    return {
        "kills": options.kills,
        "answered": len(answered),
        "lost": sum(name not in there for name in answered),
        "enrolled_without_an_answer": len(there) - sum(name in there for name in answered),
        "pictures_of_no_one": len(kept) - sum(there.values()),
        "refused": dict(refused),
    }


MEASURED = {
    "latency": latency,
    "throughput": throughput,
    "start": start,
    "soak": soak,
    "writers": writers,
    "kills": kills,
}

if __name__ == "__main__":
    main()
