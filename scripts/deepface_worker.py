"""deepface (SFace, found by YuNet) as a command; run by the Python of its own environment.

`DeepFace.find` embeds the folder at the first call and keeps the vectors beside the photos, so later calls
embed one photo. Prints the nearest person's name, or that no face was found. HOME has `.deepface/weights`.

    python scripts/deepface_worker.py HOME FOLDER PHOTO
"""

import contextlib
import io
import os
import sys
from pathlib import Path


def main() -> None:
    """Name the person of a photo."""
    home, folder, photo = sys.argv[1:]
    os.environ |= {"DEEPFACE_HOME": home, "TF_CPP_MIN_LOG_LEVEL": "3"}
    with contextlib.redirect_stdout(io.StringIO()):
        from deepface import DeepFace

        found = DeepFace.find(
            photo,
            folder,
            model_name="SFace",
            detector_backend="yunet",
            enforce_detection=False,
            silent=True,
        )
    names = [Path(rows.iloc[0]["identity"]).parent.name for rows in found if len(rows)]
    print(*names or ["no one"])


if __name__ == "__main__":
    main()
