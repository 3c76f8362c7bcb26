"""The largest picture that is read, with more than 200 faces, fits into a gigabyte."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scripts.group_photos import compose

WORK = """
import sys
from embedder.built_in import load_built_in
from embedder.faces.crop import FaceCropper
from embedder.images import load_image
from enroll.decision import decide
from enroll.identify import FaceResult, PhotoResult
from enroll.report.annotate import save_annotated

model = load_built_in()
cropper = FaceCropper(112, model.manifest.landmarks, network=model.parts["detector"])
crops = cropper.crops(load_image(sys.argv[1]))
answer = PhotoResult(sys.argv[1], None, tuple(FaceResult(crop.box, decide([], 0.5)) for crop in crops))
save_annotated(sys.argv[2], sys.argv[1], load_image(sys.argv[1]), answer)
status = open("/proc/self/status").read()  # getrusage would give the peak of the process that started this
print(len(crops), int(status.split("VmHWM:")[1].split()[0]) // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_panorama_of_50_megapixels(heads, tmp_path: Path):
    part, _ = compose(heads, 3, (2000, 1000), 12, (62, 130), 10, "drawn")
    image = Image.fromarray(np.tile(part, (5, 5, 1)))
    assert image.size == (10_000, 5_000)
    exif = Image.Exif()
    exif[274] = 6  # lying on its side: the pixels are moved once more
    image.rotate(90, expand=True).save(tmp_path / "panorama.jpg", exif=exif)
    command = [sys.executable, "-c", WORK, str(tmp_path / "panorama.jpg"), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    faces, megabytes = map(int, done.stdout.split())
    assert faces > 200
    assert megabytes < 1000
    assert len(list((tmp_path / "out").iterdir())) == 1
