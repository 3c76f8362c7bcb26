"""Put hostile values into every field of every file that is read: what was written, or a typed error.

Each case is one field with one value: of another type, huge, negative, no number, of 400 digits, deeply
nested, acting on a terminal, a megabyte, half a surrogate pair. Checksums and digests are made again, as
whoever wrote the file would: nothing but the checks of the fields stands between the value and the program.
The files are manifest.json, train.toml, the checkpoint, a gallery's calibration, its rows and what they tell
of a photo library, the export, the cache of crops, the built-in model in its cache, the index of a gallery.

    python scripts/fuzz_fields.py [--count 0] [--seed 0] [--processes 2]

0 tries all. Prints what went wrong and, last, one JSON line; ends with 1 if anything went wrong.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sqlite3  # noqa: TID251 - writes what `enroll` would not
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
from bench_main_job import surroundings
from fuzz_files import make_export, make_gallery, make_model
from hostile_fields import RAW, VALUES, Cases, dumped, in_fields
from library_fields import library_rows, read_library
from mutations import try_all
from safetensors.numpy import save

from embedder import built_in
from embedder.config.toml import read_config
from embedder.errors import EmbedError
from embedder.model_folder import MANIFEST, load_manifest
from embedder.training.checkpoint import FILE, Checkpoints, State
from embedder.training.data.crop_store import CropCache
from embedder.training.heldout import Score
from enroll.calibration import Calibration
from enroll.confidence import ConfidenceModel
from enroll.gallery.jsonl import from_lines
from enroll.gallery.threshold import CalibrationRecord, ThresholdSource, describe
from enroll.search.approximate import load_index
from enroll.store import Store, open_store
from enroll.store.sqlite.rows import checksum
from enroll.templates import NewTemplate, Templates


def manifests(scratch: Path) -> Cases:
    """Manifest, also in the place of the built-in model."""
    make_model(scratch / "model")
    content = json.loads((scratch / "model" / MANIFEST).read_bytes())
    del content["digest"]

    def read(folder: Path, forged: Any) -> None:
        if isinstance(forged, dict):
            forged = {**forged, "digest": hashlib.sha256(dumped(forged)).hexdigest()}
        (folder / MANIFEST).write_bytes(dumped(forged))
        manifest = load_manifest(folder)
        str(manifest), manifest.fingerprint, manifest.to_bytes()
        place = folder / "cache" / "models" / built_in.key()
        place.mkdir(parents=True, mode=0o700)
        (place / MANIFEST).write_bytes(dumped(forged))
        with patch.object(built_in, "place", lambda: place):
            assert built_in._find() is None  # never another model than ours

    return in_fields("manifest", content, read)


def configurations(_: Path) -> Cases:
    """Every option of train.toml."""
    from embedder.config import TrainConfig

    def text(value: Any) -> str | None:
        if isinstance(value, float | int) and not isinstance(value, bool):
            return (
                repr(value)
                if abs(value) < 10**300 or value != value or abs(value) == float("inf")
                else str(value)
            )
        return json.dumps(value)

    def read(folder: Path, name: str, value: Any) -> None:
        (folder / "train.toml").write_bytes(f"{name} = {text(value)}\n".encode(errors="surrogatepass"))
        read_config(folder / "train.toml", {})

    return [
        (
            f"train.toml {name} value {number}",
            partial(read, name=name, value=value),
        )
        for name in TrainConfig().to_dict()
        for number, value in enumerate(VALUES)
    ]


def checkpoints(_: Path) -> Cases:
    """What a checkpoint says of its run and progress."""
    scores = [asdict(Score(0.5, 0.5, 1.0, 9))] * 2
    run = {"options": {"epochs": 2}, "photos": "a", "people": {"ada": "b"}}
    progress = {"history": [{"loss": 1.0}], "best_epoch": 1, "scores": scores}
    content = {"run": run, "progress": progress}

    def read(folder: Path, forged: Any) -> None:
        tensors = {name: np.zeros(2, np.float32) for name in ("model.0", "optimizer.0", "best.0")}
        digest = hashlib.sha256()
        for name in sorted(tensors):
            digest.update(f"{name} float32 (2,) ".encode() + tensors[name].tobytes())
        facts = {"digest": digest.hexdigest()}
        if isinstance(forged, dict):
            facts |= {name: json.dumps(value) for name, value in forged.items() if name in content}
        (folder / FILE).write_bytes(save(tensors, metadata=facts))
        variable = SimpleNamespace(assign=lambda value: None)
        model = SimpleNamespace(variables=[variable], optimizer=SimpleNamespace(variables=[variable]))
        keep = SimpleNamespace(weights=[tensors["best.0"]], scores=[], best_epoch=0)
        state = State(SimpleNamespace(model=model), keep)  # type: ignore[arg-type]
        state.restore(Checkpoints(folder, run))
        assert all(isinstance(epoch, dict) for epoch in state.history)
        [entry.shares for entry in keep.scores]

    return in_fields("checkpoint", content, read)


def calibrations(_: Path) -> Cases:
    """The calibration that a gallery keeps."""
    promise = Calibration(0.9, 0.01, 0.95, 3, 40, 10, 0.3, 10, 40)
    record = CalibrationRecord(
        promise, ConfidenceModel(1.0, -2.0, 3.0), "f" * 64, "2026-11-28T20:44:31+00:00"
    )

    def read(_: Path, forged: Any) -> None:
        found = CalibrationRecord.from_text(json.dumps(forged), "gallery.db")
        basis = ThresholdSource("gallery", found.calibration.distance, found)
        said = f"{describe(found)} {basis.describe()} {json.dumps(basis.to_dict(), allow_nan=False)}"
        assert said.isprintable(), f"it says {said!a:.200}"
        if found.curve:
            assert 0 <= found.curve.probability(0.5, None) <= 1

    return in_fields("calibration", asdict(record), read)


def exports(scratch: Path) -> Cases:
    """Every line of an export."""
    make_export(scratch / "exported")
    records = [json.loads(line) for line in (scratch / "exported" / "people").read_bytes().splitlines()]

    def read(folder: Path, forged: Any) -> None:
        lines = [
            json.dumps(record, ensure_ascii=False).encode(errors="surrogatepass") + b"\n"
            for record in (forged if isinstance(forged, list) else [forged])
        ]
        with suppress(ValueError, IndexError, TypeError, AttributeError):
            end = {**json.loads(lines[-1]), "sha256": hashlib.sha256(b"".join(lines[:-1])).hexdigest()}
            lines[-1] = json.dumps(end).encode() + b"\n"
        from_lines(lines, folder)

    cases: Cases = []
    for number, record in enumerate(records):

        def line(folder: Path, forged: Any, number: int = number) -> None:
            read(folder, [*records[:number], forged, *records[number + 1 :]])

        cases += in_fields(f"export line {number}", record, line)
    return cases


def rows(scratch: Path) -> Cases:
    """Every column of every table of a gallery."""
    make_gallery(scratch / "gallery", library=True)
    original = (scratch / "gallery" / "gallery.db").read_bytes()
    with closing(sqlite3.connect(scratch / "gallery" / "gallery.db")) as connection:
        tables = {
            name: [column[1] for column in connection.execute(f"PRAGMA table_info({name})")]
            for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        }

    def read(folder: Path, table: str, column: str, value: Any, part: str = "") -> None:
        path = folder / "gallery.db"
        path.write_bytes(original)
        with closing(sqlite3.connect(path)) as connection, connection:
            triggers = connection.execute(
                "SELECT sql, name FROM sqlite_schema WHERE type = 'trigger'"
            ).fetchall()
            for _, name in triggers:
                connection.execute(f"DROP TRIGGER {name}")
            key = "part" if table == "total" else "only" if table == "gallery" else "id"
            (first,) = (part,) if part else connection.execute(f"SELECT min({key}) FROM {table}").fetchone()
            try:
                connection.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (value, first))
            except sqlite3.Error:
                return  # no file can hold it
            columns = tables[table]
            if "checksum" in columns and column != "checksum":
                row = connection.execute(f"SELECT * FROM {table} WHERE {key} = ?", (first,)).fetchone()
                if row is None:
                    return
                given = [
                    part for name, part in zip(columns, row, strict=True) if name not in ("checksum", "sweep")
                ]
                made = checksum(*given) if not any(isinstance(part, float) for part in given) else 0
                connection.execute(f"UPDATE {table} SET checksum = ? WHERE {key} = ?", (made, first))
            if table not in ("total", "gallery"):
                connection.execute(
                    f"UPDATE total SET sum = (SELECT ifnull(sum(checksum), 0) FROM {table}), "
                    f"count = (SELECT count(checksum) FROM {table}), "
                    f"last = max(last, (SELECT ifnull(max(id), 0) FROM {table})) WHERE part = ?",
                    (table,),
                )
            for made_by, _ in triggers:
                connection.execute(made_by)
        read_gallery(path)

    def read_gallery(path: Path) -> None:
        from fuzz_files import READS

        readings: tuple[Callable[[Store], Any], ...] = (
            *READS,
            lambda store: store.revision(),
            lambda store: store.changes(),
        )
        with open_store(path) as store:
            for reading in readings:
                with suppress(EmbedError):
                    reading(store)
            with suppress(EmbedError, ValueError):  # the model may be of other vectors
                store.add("eve", [NewTemplate("eve 2.jpg", b"e" * 32, np.eye(8, dtype=np.float32)[0])])
            with suppress(EmbedError):
                store.remove("Ada")
        read_library(path)

    parts = [*tables.keys() - {"total", "gallery"}]
    return [
        (f"gallery {table}.{column} value {number} {part}",
         partial(read, table=table, column=column, value=value, part=part))
        for table, columns in tables.items()
        for part in (sorted(parts) if table == "total" else [""])
        for column in columns
        for number, value in enumerate(RAW)
    ]  # fmt: skip


def crops(_: Path) -> Cases:
    """An entry of the cache of crops."""
    recipe = {"size": 8}

    def read(folder: Path, body: bytes) -> None:
        cache = CropCache(recipe, folder / "crops")
        cache._entries.put(cache._recipe + b"digest", body)
        found = cache.get(b"digest")
        assert found is None or found.crop is None or found.crop.shape == (8, 8, 3)

    bodies = [
        b"",
        b"\0",
        b"\1\0\0\0",
        b"\0\0\0\0x",
        b"\xff" * 4,
        b"\1\0\0\0" + bytes(191),
        b"\1\0\0\0" + bytes(193),
    ]
    return [(f"crop {number}", partial(read, body=body)) for number, body in enumerate(bodies)]


def indices(_: Path) -> Cases:
    """The index beside a gallery."""
    draw = np.random.default_rng(0)
    vectors = draw.normal(size=(4, 8)).astype(np.float32)
    templates = Templates(
        np.arange(1, 5), np.array([*"abcd"], object), vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    )
    sha = hashlib.sha256(templates.ids.data)
    sha.update(templates.vectors.data)
    sound: dict[str, np.ndarray[Any, Any]] = {
        "levels": np.ones(4, np.int32),
        "links": np.full(4 * 32, -1, np.int32),
        "about": np.array([1, 0, 0], np.int64),
        "templates": np.frombuffer(sha.digest(), np.uint8),
    }

    def read(folder: Path, name: str, tensor: Any) -> None:
        content = save(sound | {name: tensor})
        (folder / "gallery.db.index").write_bytes(hashlib.sha256(content).digest() + content)
        try:
            graph = load_index(folder / "gallery.db.index", templates)
        except (OSError, ValueError):  # what its readers expect
            return
        graph.check()

    assert len(load_sound(sound, templates)) == 4
    cases: Cases = []
    for name, tensor in sound.items():
        for place in range(min(len(tensor), 40)):
            for value in (
                0,
                1,
                2,
                5,
                33,
                -1,
                -2,
                127,
                np.iinfo(tensor.dtype).max,
                np.iinfo(tensor.dtype).min,
            ):
                other = tensor.copy()
                other[place] = np.array(value).astype(tensor.dtype)
                cases.append(
                    (
                        f"index {name}[{place}] = {value}",
                        partial(read, name=name, tensor=other),
                    )
                )
        for other in (
            tensor[:0],
            tensor[:-1],
            np.tile(tensor, 3),
            tensor.astype(np.float64),
            tensor[:, None],
        ):
            cases.append(
                (
                    f"index {name} {other.shape}",
                    partial(read, name=name, tensor=other),
                )
            )
    return cases


def load_sound(sound: dict[str, Any], templates: Templates) -> Any:
    """See that the index is read as it is, or no case says anything."""
    with tempfile.TemporaryDirectory() as folder:
        content = save(sound)
        path = Path(folder) / "gallery.db.index"
        path.write_bytes(hashlib.sha256(content).digest() + content)
        return load_index(path, templates)


MAKERS = (manifests, configurations, checkpoints, calibrations, exports, rows, library_rows, crops, indices)


def main() -> None:
    """Try all cases or some, print what went wrong and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=0, help="cases drawn of each file; 0 takes all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    counts, problems = {}, []
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["EMBED_CACHE"] = f"{scratch}/cache"
        for make in MAKERS:
            place = Path(scratch).resolve() / make.__name__
            place.mkdir()
            cases = make(place)
            if 0 < options.count < len(cases):
                drawn = np.random.default_rng(options.seed).permutation(len(cases))[: options.count]
                cases = [cases[index] for index in sorted(drawn)]

            def attempt(number: int, cases: Cases = cases, place: Path = place) -> str:
                name, act = cases[number]
                with tempfile.TemporaryDirectory(dir=place) as folder:
                    try:
                        act(Path(folder))
                    except EmbedError as error:
                        said = str(error)
                        assert len(said) < 5000, f"{name}: an error of {len(said)} characters"
                        return "refused"
                    except Exception as error:
                        raise AssertionError(f"{name}: {error!r:.300}") from error
                return "read"

            outcomes, wrong = try_all(attempt, len(cases), options.processes)
            counts[make.__name__] = dict(sorted(outcomes.items()))
            problems += [f"{make.__name__}: {problem}" for problem in wrong]
    for problem in problems:
        print(problem)
    facts = {"script": "fuzz_fields", **surroundings(), **vars(options), "outcomes": counts}
    print(json.dumps(facts | {"problems": len(problems)}))
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
