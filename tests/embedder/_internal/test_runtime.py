from __future__ import annotations

import os
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from embedder._internal.runtime import no_warnings, own_streams, quiet


def test_holds_back_what_c_code_and_python_write():
    code = (
        "import os; from embedder._internal.runtime import own_streams, quiet\n"
        "print('before')\n"
        "with own_streams(), quiet():\n"
        "    os.write(1, b'raw out'); os.write(2, b'raw err'); print('python')\n"
        "print('after')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "before\nafter\n"
    assert done.stderr == ""


def test_shows_it_when_something_fails():
    with pytest.raises(RuntimeError) as caught, own_streams(), quiet():
        os.write(2, b"the reason")
        raise RuntimeError
    assert caught.value.__notes__ == ["the reason"]


def test_works_without_standard_streams(tmp_path):
    code = (
        "from embedder._internal.runtime import own_streams, quiet\n"
        "with own_streams(), quiet(): pass\n"
        "open('done', 'w').close()"
    )
    for stream in (">&-", "2>&-", ">&- 2>&-"):
        subprocess.run(f'{sys.executable} -c "{code}" {stream}', shell=True, check=True, cwd=tmp_path)
        (tmp_path / "done").unlink()


def test_a_library_call_redirects_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    before = [os.fstat(number).st_ino for number in (1, 2)]
    with quiet():
        assert [os.fstat(number).st_ino for number in (1, 2)] == before
        os.write(2, b"of another thread")
    with own_streams(), quiet():
        assert [os.fstat(number).st_ino for number in (1, 2)] != before
        os.write(2, b"held back")
    with quiet():
        os.write(1, b"after")
    assert capfd.readouterr() == ("after", "of another thread")


def test_warnings_are_ignored_in_all_threads_and_come_back():
    before = warnings.filters[:]

    def work(_: int) -> None:
        with no_warnings():
            time.sleep(0.001)
            warnings.warn("not shown", stacklevel=1)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(100)))
    assert warnings.filters == before
    with pytest.warns(UserWarning, match="shown again"):
        warnings.warn("shown again", stacklevel=1)


def test_ctrl_c_while_keras_is_loaded_is_only_a_stop():
    code = (
        "import os, signal, threading\n"
        "from embedder._internal.runtime import import_keras, own_streams\n"
        "threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "try:\n with own_streams(): import_keras()\n"
        "except KeyboardInterrupt: print('stopped')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("stopped\n", "")
