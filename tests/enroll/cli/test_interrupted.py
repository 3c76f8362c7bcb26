"""Ctrl-C while another process decodes a picture: the command ends at once, and that process with it."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from enroll.cli.options import INTERRUPTED

# The decoder says that it has begun, and then takes for ever.
SLOW = """
import sys
from embedder._internal.runtime import map_in_order
from embedder.images import apart, load_image
from enroll.cli.ending import run_command
apart.SECONDS = 600
slow = "import time; print('decoding', file=sys.stderr, flush=True); time.sleep(600)\\n"
apart._CHILD = apart._CHILD.replace("from embedder", slow + "from embedder", 1)
apart.subprocess.DEVNULL = None  # its standard error is ours
here, path = sys.argv[1:]
several = lambda: list(map_in_order(load_image, [path]))
run_command((lambda: load_image(path)) if here == "here" else several)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the process is ended by Linux")
@pytest.mark.parametrize("where", ["here", "in a thread"])
def test_ctrl_c_ends_what_decodes(where: str, tmp_path: Path) -> None:
    first, second = (Image.new("RGB", (16, 16), colour) for colour in ("red", "blue"))
    file = io.BytesIO()
    first.save(file, "AVIF", speed=10, save_all=True, append_images=[second])
    (tmp_path / "photo.avif").write_bytes(file.getvalue())
    command = [sys.executable, "-c", SLOW, where, str(tmp_path / "photo.avif")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        check(running)


def check(running: subprocess.Popen[str]) -> None:
    assert running.stderr
    assert running.stderr.readline() == "decoding\n"
    running.send_signal(signal.SIGINT)  # to it alone; a terminal would send it to both
    begun = time.monotonic()
    assert running.wait(60) == INTERRUPTED
    assert time.monotonic() - begun < 30  # a second is promised; the picture would take 600
    _, said = running.communicate(timeout=30)  # until the last process that writes there has ended
    assert said == ""
