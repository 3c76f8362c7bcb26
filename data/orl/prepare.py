"""Write this data set as a labelled folder: python data/orl/prepare.py DIR."""

import sys
from pathlib import Path

from embedder.folders import write_dataset

if __name__ == "__main__":
    people, photos = write_dataset("orl", Path(sys.argv[1]))
    print(f"Wrote {photos} photos of {people} people to {sys.argv[1]}")
