"""The mutants of `make mutants`, and what it says of a small project in a folder of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mutation_operators import mutants

SCRIPTS = Path(__file__).parents[2] / "scripts"

CODE = '''
def grade(points: int, most: int = 3) -> str:
    """Say how well it went, from 0 points on."""
    if points < 0:
        raise ValueError(f"expected at least {0} points")
    return "good" if points >= most else "bad"
'''

TESTS = """
import pytest
from core.grading import grade

def test_grades():
    assert [grade(points) for points in (0, 2, 3, 4)] == ["bad", "bad", "good", "good"]

def test_refused():
    with pytest.raises(ValueError):
        grade(-1)
"""

EQUIVALENT = """
[[equivalent]]
module = "core/grading.py"
reason = "of a test"
changes = [["grade", "if points < 0:", "if points < {}:"]]
"""


@pytest.mark.parametrize(
    ("code", "changed"),
    [
        ("a < b", ["a <= b", "a != b", "a > b", "pass"]),
        ("a == b", ["a <= b", "a >= b", "a != b", "pass"]),
        ("x = a == 'b'", ["x = a != 'b'"]),
        ("x = a is None", ["x = a is not None"]),
        ("x = a and b", ["x = a or b"]),
        ("x = not a", ["x = a"]),
        ("x = a * b", ["x = a / b", "x = a + b"]),
        ("x += 2", ["pass", "x -= 2", "x += 3", "x += 1"]),
        ("x = True", ["x = False"]),
        ("x[i] = a", ["pass"]),
        ("x = f(a, key=b)", ["x = f(a)"]),
        ("x = np.min(a)", ["x = np.max(a)"]),
        ("x = sorted(a)", ["x = a"]),
        ("x = a if b else c", ["x = a if not b else c", "x = a", "x = c"]),
        ("x = [a for a in b if c]", ["x = [a for a in b]"]),
        ("for a in b:\n    break", ["for a in ():", "continue"]),
        ("if a:\n    x = b", ["if not a:"]),
        ("raise ValueError(f'{a + 1} < 2')", ["pass"]),
        ("x: f(1 < 2) = a", []),
        ("'''From 0 to 1.'''", []),
        ("if TYPE_CHECKING:\n    x = 1", []),
        ("x = zip(a, b, strict=True)", []),
        ("A = TypeVar('A', covariant=True)", []),
        ("@cached(True)\ndef f() -> g(1): return x", []),
    ],
)
def test_each_place_is_changed_once(code: str, changed: list[str]):
    assert sorted(mutant.new for mutant in mutants(code)) == sorted(changed)


def test_a_mutant_says_where_it_is():
    (mutant,) = mutants("class A:\n\n    def f(self):\n        return a + b\n")
    assert (mutant.line, mutant.function) == (4, "A.f")
    assert (mutant.old, mutant.new) == ("return a + b", "return a - b")
    assert mutant.source == "class A:\n\n    def f(self):\n        return a - b"


def run(place: Path, settings: str) -> tuple[int, str, dict]:
    for folder in ("scripts", "core", "tests"):
        (place / folder).mkdir(exist_ok=True)
    for name in ("mutate_core.py", "mutation_operators.py"):
        shutil.copy(SCRIPTS / name, place / "scripts" / name)
    (place / "core" / "grading.py").write_text(CODE)
    (place / "tests" / "test_grading.py").write_text(TESTS)
    (place / "scripts" / "mutate_core.toml").write_text(settings)
    command = [sys.executable, "scripts/mutate_core.py"]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True)
    *lines, last = done.stdout.splitlines()
    assert (place / "core" / "grading.py").read_text() == CODE
    return done.returncode, "\n".join(lines), json.loads(last)


def test_all_are_killed_but_the_equivalent_one(tmp_path: Path):
    tests = '[tests]\n"core/grading.py" = ["--noconftest", "tests/test_grading.py"]\n'
    code, text, figures = run(tmp_path, tests + EQUIVALENT.format(1))
    # What is listed is not tried: the tests would have noticed this one.
    assert figures["total"] == {"mutants": 13, "killed": 12, "equivalent": 1, "alive": 0, "stale": 0}
    assert (code, text) == (0, "core/grading.py: 13 mutants, 12 killed, 1 equivalent, 0 alive, 0 stale")


def test_what_is_alive_or_no_longer_there_is_named(tmp_path: Path):
    tests = '[tests]\n"core/grading.py" = ["--noconftest", "tests/test_grading.py", "-k", "refused"]\n'
    code, text, figures = run(tmp_path, tests + EQUIVALENT.format(7))
    assert code == 1
    assert figures["modules"]["core/grading.py"]["stale"] == 1
    assert "core/grading.py:6 grade\n  - return 'good' if points >= most else 'bad'\n  + return 'bad'" in text
    assert "no mutant of it: grade: if points < 0: -> if points < 7:" in text
