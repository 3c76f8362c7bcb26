"""Standard streams that are closed, full or left, and Ctrl-C: no traceback, and the right exit code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import save_people

pytestmark = pytest.mark.skipif(os.name == "nt", reason="shells and signals of POSIX")


@pytest.fixture(scope="module")
def there(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model and people who are enrolled."""
    folder = tmp_path_factory.mktemp("streams")
    (folder / "embed-model").symlink_to(model)
    save_people(folder / "people", 4, 3)
    assert shell(folder, "EMBED enroll people")[0] == ["0"]
    return folder


def shell(folder: Path, line: str) -> tuple[list[str], str, str]:
    """Run a line; gives the exit codes of its parts, standard output and standard error."""
    line = line.replace("EMBED", f"{sys.executable} -m enroll.cli")
    command = ["bash", "-c", f'{line}; echo "${{PIPESTATUS[*]}}" > codes']
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    return (folder / "codes").read_text().split(), done.stdout, done.stderr


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("EMBED --version", "0"),
        ("EMBED --version >&-", "0"),
        ("EMBED --version >/dev/full", "2"),
        ("EMBED --version | true", "0"),
        ("EMBED -h", "0"),
        ("EMBED gallery -h", "0"),
        ("EMBED identify -h", "0"),
        ("EMBED gallery list >&-", "0"),
        ("EMBED gallery list 2>&-", "0"),
        ("EMBED gallery list <&- >&- 2>&-", "0"),
        ("EMBED gallery list --gallery none.db 2>&-", "4"),
        ("EMBED gallery list --gallery none.db 2>/dev/full", "4"),
        ("EMBED nothing 2>/dev/full", "2"),
        ("EMBED gallery list >/dev/full", "2"),
        ("EMBED gallery list >/dev/full 2>&1", "2"),
        ("EMBED identify people/p00/0.png 2>&-", "0"),
        ("EMBED identify --fail-on-unknown --threshold 0 people/p00/0.png none.png >&-", "3"),
        ("EMBED gallery export - >&-", "2"),
        ("EMBED gallery export - >/dev/full", "2"),
        ("EMBED gallery import - --gallery new.db <&-", "4"),
        ("EMBED gallery list 2>&- | true", "0"),
        ("env -u TERM TERM= EMBED enroll people", "0"),
    ],
)
def test_a_stream_that_is_not_there(there: Path, line: str, code: str) -> None:
    if "/dev/full" in line and not Path("/dev/full").exists():
        pytest.skip("no disk that is always full")
    codes, out, err = shell(there, line)
    assert codes[0] == code, err
    assert "Traceback" not in out + err
    assert "Exception ignored" not in err


def test_what_is_said_on_a_closed_standard_error_is_not_said_on_standard_output(there: Path) -> None:
    assert shell(there, "EMBED gallery list --gallery none.db 2>&-")[1] == ""


def test_a_reader_that_leaves_ends_what_only_answers(there: Path) -> None:
    codes, out, err = shell(there, "EMBED identify people 2>log | true")  # gone before the first answer
    assert (codes, out, err) == (["0", "0"], "", "")
    assert "Threshold" not in (there / "log").read_text()


def test_a_reader_that_leaves_does_not_end_a_change(there: Path) -> None:
    codes, _, err = shell(there, "EMBED enroll people --gallery left.db | true")
    assert (codes[0], err) == ("0", "")
    assert shell(there, "EMBED gallery list --gallery left.db")[1].count("3 photos") == 4


def test_an_export_that_is_not_read_to_its_end_is_an_error(there: Path) -> None:
    codes, _, err = shell(there, "sleep 2 | EMBED gallery export - | true")
    assert codes[1] == "2"
    assert err.startswith("embed: export -: not all of it was read")


def test_a_closed_stream_is_not_replaced_by_a_file_of_ours(there: Path) -> None:
    code = "import os; from enroll.cli.streams import guard_streams; guard_streams(); print(os.open('x', 66))"
    codes, out, err = shell(there, f'{sys.executable} -c "{code}" 2>&- <&-')
    assert (codes, err) == (["0"], "")
    assert int(out) > 2


def test_completion_can_be_shown(there: Path) -> None:
    codes, out, _ = shell(there, "SHELL=/bin/bash EMBED --show-completion bash")
    assert codes == ["0"]
    assert "complete " in out


@pytest.mark.parametrize("milliseconds", [0, 100, 250])
def test_an_interrupt_while_it_is_imported(there: Path, milliseconds: int) -> None:
    """It is sent from inside: `enroll.start` is running, and the rest is being imported."""
    code = f"""
import os, signal, sys, threading, time
import enroll.start
def interrupt():
    while "enroll.cli" not in sys.modules: time.sleep(0.0001)
    time.sleep({milliseconds / 1000})
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt, daemon=True).start()
sys.argv = ["embed", "identify", "people"]
enroll.start.main()
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=there, capture_output=True, text=True)
    assert (done.returncode, "Traceback" in done.stderr) == (130, False), done.stderr


@pytest.mark.parametrize("moment", ["guard_streams", "run_command"])
def test_an_interrupt_between_importing_and_the_command(there: Path, moment: str) -> None:
    code = f"""
import os, signal, sys
import enroll.start, enroll.cli, enroll.cli.ending
def interrupt(*_): os.kill(os.getpid(), signal.SIGINT)
enroll.cli.ending.{moment} = enroll.cli.{moment} = interrupt
sys.argv = ["embed", "identify", "people"]
enroll.start.main()
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=there, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "")


def test_an_ignored_interrupt_stays_ignored(there: Path) -> None:
    running = subprocess.Popen(
        [sys.executable, "-m", "enroll.cli", "identify", "people"],
        cwd=there,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    time.sleep(0.3)
    running.send_signal(signal.SIGINT)
    out, _ = running.communicate(timeout=120)
    assert (running.returncode, out.count(b"\n")) == (0, 12)


@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited so on Linux")
@pytest.mark.parametrize("kilobytes", [50_000, 70_000, 100_000, 130_000, 250_000])
def test_little_memory_is_said(there: Path, kilobytes: int) -> None:
    """Of these, the loader ends with the first, OpenBLAS with its own words with the next."""
    codes, _, err = shell(there, f"(ulimit -v {kilobytes}; EMBED gallery list)")
    assert codes == ["2"]
    assert err.startswith("embed: ")
    assert "memory" in err and "`ulimit -v`" in err  # numpy 2.0 says nothing of memory; the line does
    assert err.count("\n") == 1


@pytest.mark.parametrize("limited", [False, True])
def test_package_that_cannot_be_loaded(there: Path, tmp_path: Path, limited: bool) -> None:
    (tmp_path / "numpy.py").write_text("raise ImportError('none of its parts')", encoding="utf-8")
    limit = "ulimit -v 9000000; " if limited else ""
    codes, _, err = shell(there, f"({limit}PYTHONPATH={tmp_path} EMBED gallery list)")
    assert codes == ["2"]
    assert err.startswith("embed: a package cannot be loaded: none of its parts; ")
    assert ("`ulimit -v`" in err) == limited
    assert err.endswith("install embed again\n")
