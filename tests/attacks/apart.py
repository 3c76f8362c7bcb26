"""Try all attacks, each in little memory and time; prints one JSON object: attack -> how it ended.

python -m tests.attacks.apart
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "scripts"))

from mutations import try_all

from tests.attacks import files, galleries, libraries, models, names, pictures, reports, surroundings
from tests.attacks.outcomes import Attack

ATTACKS: dict[str, tuple[Attack, str]] = {
    f"{module.__name__.rpartition('.')[2]}: {name}": attack
    for module in (files, galleries, libraries, models, names, pictures, reports, surroundings)
    for name, attack in module.ATTACKS.items()
}


def main() -> None:
    everything = list(ATTACKS.items())
    with tempfile.TemporaryDirectory() as scratch:

        def attempt(number: int) -> str:
            name, (attack, _) = everything[number]
            folder = Path(scratch).resolve() / str(number)
            folder.mkdir()
            return f"{name}\n{attack(folder)}"

        ended, problems = try_all(attempt, len(everything))
    found = dict(entry.split("\n") for entry in ended)
    for problem in problems:
        number, what = problem.removeprefix("case ").split(": ", 1)
        found[everything[int(number)][0]] = what
    print(json.dumps(found))  # noqa: T201


if __name__ == "__main__":
    main()
