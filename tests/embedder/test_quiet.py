from __future__ import annotations

import os
import subprocess
import sys

import pytest

from embedder.quiet import quiet


def test_holds_back_what_c_code_and_python_write():
    code = (
        "import os; from embedder.quiet import quiet\n"
        "print('before')\n"
        "with quiet():\n"
        "    os.write(1, b'raw out'); os.write(2, b'raw err'); print('python')\n"
        "print('after')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "before\nafter\n"
    assert done.stderr == ""


def test_shows_it_when_something_fails():
    with pytest.raises(RuntimeError) as caught, quiet():
        os.write(2, b"the reason")
        raise RuntimeError
    assert caught.value.__notes__ == ["the reason"]
