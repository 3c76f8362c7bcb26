"""The environments of `make test-portable`; the suite itself is not run in them here."""

from __future__ import annotations

import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import pytest
import test_portable as script

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]

SEEN = """
import json, numpy, threadpoolctl
info = numpy.show_config(mode="dicts")["SIMD Extensions"]
(blas,) = [pool for pool in threadpoolctl.threadpool_info() if pool["internal_api"] == "openblas"]
import faiss  # brings an OpenBLAS of its own
level = faiss.SIMDConfig.get_level_name()
print(json.dumps([info.get("found", []), blas["architecture"], level, blas["num_threads"]]))
"""
CONVOLVE = """
import tensorflow as tf
tf.function(lambda x: tf.nn.conv2d(x, tf.ones((3, 3, 8, 8)), 1, "SAME"))(tf.ones((8, 64, 64, 8)))
"""


def seen(variables: dict[str, str]) -> tuple[list[str], str, str, int]:
    done = subprocess.run(
        [sys.executable, "-c", SEEN], env=os.environ | variables, capture_output=True, text=True, check=True
    )
    found, architecture, level, threads = json.loads(done.stdout)
    return found, architecture, level, threads


on_x86 = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="hides instructions of x86-64"
)


@on_x86
def test_instructions_are_hidden():
    known = script.environments()
    found, architecture, level, _ = seen(known["no-avx512"].variables)
    assert not [name for name in found if "AVX512" in name or name == "X86_V4"]
    assert (architecture, level) == ("Haswell", "AVX2")
    found, architecture, level, _ = seen(known["no-avx2"].variables)
    assert found == []
    assert (architecture, level) == ("Nehalem", "NONE")


@pytest.mark.slow
@on_x86
@pytest.mark.parametrize(("name", "left"), [("no-avx512", "AVX2"), ("no-avx2", "SSE4.1")])
def test_instructions_are_hidden_from_onednn(name: str, left: str):
    variables = script.environments()[name].variables | {"ONEDNN_VERBOSE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", CONVOLVE],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.findall(r"isa:Intel (\S+)$", done.stdout, re.MULTILINE) == [left]


@on_x86
def test_the_same_is_hidden_where_something_is_already():
    listing = [sys.executable, script.__file__, "--list"]
    here = script.environments()["no-avx2"].variables
    there = subprocess.run(listing, env=os.environ | here, capture_output=True, text=True, check=True)
    assert there.stdout == subprocess.run(listing, capture_output=True, text=True, check=True).stdout


def test_threads_are_set():
    known = script.environments()
    assert seen(known["one-thread"].variables)[3] == 1
    assert seen(known["four-threads"].variables)[3] == min(4, os.cpu_count() or 1)  # OpenBLAS takes no more


def test_every_lower_bound_is_a_constraint():
    entries = script.lowest(PROJECT)
    assert f"keras=={dict(re.split('[>=]=', entry) for entry in PROJECT['dependencies'])['keras']}" in entries
    extras = [entry for extra in PROJECT["optional-dependencies"].values() for entry in extra]
    own = [entry for entry in extras if entry.startswith(PROJECT["name"])]
    assert len(entries) == len(PROJECT["dependencies"]) + len(extras) - len(own)
    assert not [entry for entry in entries if ";" in entry or ">" in entry]


def test_each_python_that_is_allowed_is_tried():
    known = script.environments()
    assert known["oldest"].python == "python3.11"
    assert [each.python for each in known.values() if each.versions == "newest"] == [
        "python3.11",
        "python3.12",
        "python3.13",
    ]


def test_a_python_that_is_not_here_is_skipped():
    absent = script.Environment(versions="newest", python="python3.99")
    assert script.run(absent, []) == {"skipped": "no python3.99 here"}


def test_tests_are_run_and_counted(tmp_path: Path):
    (tmp_path / "test_it.py").write_text(
        "import os, pytest\n"
        "def test_good(): assert os.environ['SAID'] == 'this'\n"
        "def test_bad(): assert False\n"
        "@pytest.fixture\n"
        "def broken(): raise ValueError\n"
        "def test_broken(broken): pass\n"
    )
    chosen = script.Environment({"SAID": "this", "PYTEST_ADDOPTS": "-rs"})  # another summary
    result = script.run(chosen, ["-q", "-p", "no:cacheprovider", "-c", os.devnull, str(tmp_path)])
    assert result["code"] == 1
    assert result["counts"] == {"failed": 1, "passed": 1, "error": 1}
    assert [name.rpartition("::")[2] for name in result["failed"]] == ["test_bad", "test_broken"]
    assert "output" not in result


def test_what_pytest_says_is_shown_if_it_cannot_run(tmp_path: Path):
    result = script.run(script.Environment(), ["--no-such-option", "-c", os.devnull, str(tmp_path)])
    assert result["code"] == 4
    assert "--no-such-option" in result["output"]


def test_a_summary_is_read_wherever_it_stands():
    quiet = (
        "..F\nFAILED tests/test_a.py::test_b - assert 1 == 2\n"
        "1 failed, 2 passed, 3 warnings in 61.20s (0:01:01)\n"
        "Exception ignored in 7 places\n"
    )
    assert script.read_summary(quiet) == {
        "counts": {"failed": 1, "passed": 2, "warning": 3},
        "failed": ["tests/test_a.py::test_b"],
    }
    loud = "===== 4 passed, 1 skipped in 0.30s =====\n"
    assert script.read_summary(loud)["counts"] == {"passed": 4, "skipped": 1}
    assert script.read_summary("Fatal Python error: Segmentation fault\n") == {"counts": {}, "failed": []}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signal that kills")
def test_a_python_that_is_killed_shows_how_far_it_came(tmp_path: Path):
    (tmp_path / "test_it.py").write_text(
        "import os, signal\n"
        "def test_it():\n"
        "    print('so far', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    result = script.run(
        script.Environment(), ["-s", "-p", "no:cacheprovider", "-c", os.devnull, str(tmp_path)]
    )
    assert result["code"] == -signal.SIGKILL
    assert result["output"].endswith("so far\n")


NO_PIP = """#!/bin/sh
case "$*" in
    --version) echo Python 3.12.0 ;;
    "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    *) echo "cannot install: $*" >&2; exit 7 ;;
esac
"""


@pytest.mark.skipif(os.name == "nt", reason="a shell script stands in for a Python")
def test_the_table_goes_on_where_nothing_can_be_installed(tmp_path: Path, monkeypatch, capsys):
    python = tmp_path / "python3.12"
    python.write_text(NO_PIP)
    python.chmod(0o755)
    (tmp_path / "test_it.py").write_text("def test_it(): pass\n")
    known = {
        "bad": script.Environment(versions="oldest", python=str(python)),
        "good": script.Environment(),
    }
    monkeypatch.setattr(script, "environments", lambda: known)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["it", "--pytest", f"-q -p no:cacheprovider -c {os.devnull} {tmp_path}"])
    assert script.main() == 1
    *lines, last = capsys.readouterr().out.splitlines()
    results = json.loads(last)["environments"]
    assert results["bad"]["code"] == 7
    assert "cannot install: -m pip install" in results["bad"]["output"]
    assert results["bad"]["output"].strip() in "\n".join(lines)
    assert (results["good"]["code"], results["good"]["counts"]) == (0, {"passed": 1})
    assert not list(tmp_path.glob("portable-*"))


def test_an_unknown_name_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["test_portable.py", "no-such"])
    with pytest.raises(SystemExit):
        script.main()
    assert "expected names of no-avx512" in capsys.readouterr().err
