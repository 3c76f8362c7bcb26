"""Why erased rows are set to NULL in a table that only grows: what SQLite leaves behind otherwise.

Rows of random lengths come and go at random, with `secure_delete` on. `delete` deletes a person's rows;
`blank` sets their columns to NULL. Then the bytes of what is gone are searched for. Prints one JSON line.

    python scripts/sqlite_leftovers.py [--seeds 4]
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import sqlite3  # noqa: TID251  (below our store, on purpose)
import tempfile
from pathlib import Path

ERASE = {
    "delete": "DELETE FROM entry WHERE person = ?",
    "blank": "UPDATE entry SET person = NULL, digest = NULL, body = NULL WHERE person = ?",
}
PEOPLE = 2000
GONE = 1500
_FOUND = 16  # bytes


def main() -> None:
    """Count the rows of which something is left."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=4)
    seeds = parser.parse_args().seeds
    left = {way: [leftovers(statement, seed) for seed in range(seeds)] for way, statement in ERASE.items()}
    for way, counts in left.items():
        erased, bodies, digests = (sum(column) for column in zip(*counts, strict=True))
        print(f"{way}: of {erased} erased rows, {bodies} bodies and {digests} digests of an index are left")
    print(
        json.dumps(
            {
                "rows erased, bodies left, digests left": left,
                "seeds": seeds,
                "versions": {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version},
                "machine": {"processor": platform.machine(), "system": platform.platform()},
            }
        )
    )


def leftovers(erase: str, seed: int) -> tuple[int, int, int]:
    """Give how many rows were erased, of how many something is left in the table, and in the index."""
    generator = random.Random(seed)
    rows: dict[int, list[tuple[bytes, bytes]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "entries.db"
        connection = sqlite3.connect(path, isolation_level=None)
        for pragma in ("synchronous = OFF", "secure_delete = ON"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute(
            "CREATE TABLE entry (id INTEGER PRIMARY KEY, person INT, digest BLOB UNIQUE, body BLOB)"
        )
        connection.execute("CREATE INDEX entry_person ON entry (person)")

        def come(person: int) -> None:
            rows[person] = [
                (generator.randbytes(32), generator.randbytes(generator.randint(50, 900)))
                for _ in range(generator.randint(1, 4))
            ]
            connection.execute("BEGIN")
            connection.executemany(
                "INSERT INTO entry (person, digest, body) VALUES (?, ?, ?)",
                [(person, *row) for row in rows[person]],
            )
            connection.execute("COMMIT")

        for person in range(PEOPLE):
            come(person)
        gone = generator.sample(range(PEOPLE), GONE)
        for person in gone:
            connection.execute(erase, (person,))
            if person % 3 == 0:
                come(PEOPLE + person)
        connection.close()
        content = path.read_bytes()
    erased = [row for person in gone for row in rows[person]]
    bodies = sum(_is_in(body, content) for _, body in erased)
    return len(erased), bodies, sum(digest[:_FOUND] in content for digest, _ in erased)


def _is_in(body: bytes, content: bytes) -> bool:
    return any(body[at : at + _FOUND] in content for at in (0, len(body) // 2, len(body) - _FOUND))


if __name__ == "__main__":
    main()
