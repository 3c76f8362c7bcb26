"""`embed prepare`."""

from __future__ import annotations

from typing import Annotated

import typer

from enroll.cli.output import answer
from enroll.cli.terminal import Lines, safe


def prepare(
    force: Annotated[bool, typer.Option("--force", help="Make it again if it is there.")] = False,
) -> None:
    """Make the built-in network now, not when it is first needed, and say where it is kept."""
    from embedder.built_in import prepare_built_in
    from embedder.model_folder import check_model

    folder = prepare_built_in(Lines(), force)
    manifest = check_model(folder)
    size = sum(file.stat().st_size for file in folder.iterdir())
    answer(
        {
            "folder": str(folder),
            "bytes": size,
            "trunk": manifest.trunk,
            "fingerprint": manifest.fingerprint,
        },
        f"The built-in network is in {safe(folder)}, {size / 1e6:.1f} MB",
        f"  trunk {manifest.trunk}, fingerprint {manifest.fingerprint[:12]}",
    )
