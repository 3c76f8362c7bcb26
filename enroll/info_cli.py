"""`embed info`: what the model and the gallery are."""

from __future__ import annotations

from embedder.cli import DEFAULT_MODEL, Model, describe_training, printable
from embedder.wording import count
from enroll.gallery_cli import DEFAULT_GALLERY, GalleryFile


def info(model: Model = DEFAULT_MODEL, gallery: GalleryFile = DEFAULT_GALLERY) -> None:
    """Say what the model and the gallery are, and check every byte of the model."""
    from embedder.bundle import check_model
    from enroll.store import gallery_exists, open_store, without_password

    manifest = check_model(model)
    print(f"model {printable(str(model))}")
    print(f"  trunk {printable(manifest.trunk)}, head {printable(manifest.head)}")
    mirror = ", averaged with the mirror picture" if manifest.mirror else ""
    print(f"  {manifest.input_size} x {manifest.input_size} pixels, crop {manifest.crop}{mirror}")
    origin = manifest.training.get("quantized_from")
    quantized = f", rounded from model {printable(str(origin)[:12])}" if origin else ""
    print(f"  weights stored as {manifest.weights_as}{quantized}")
    print(f"  vectors of {manifest.dim} numbers, fingerprint {manifest.fingerprint[:12]}")
    for line in describe_training(manifest):
        print(f"  {line}")
    print(f"gallery {printable(without_password(gallery))}")
    if not gallery_exists(gallery):
        print("  not there yet; `embed enroll` makes it")
        return
    with open_store(gallery) as store:
        people = store.identities()
        bound = store.model()
    print(f"  {count(len(people), 'person')}, {count(sum(photos for _, photos in people), 'photo')}")
    if bound is not None:
        own = bound[0] == manifest.fingerprint
        print(f"  made with {'this model' if own else 'another model, ' + bound[0][:12]}")
