"""Decide which certificates of a broker or of Frigate are trusted."""

from __future__ import annotations

import ssl
from pathlib import Path


def tls_context(ca: Path | None) -> ssl.SSLContext:
    """Return a context that trusts the system's authorities, or those of a file alone.

    Raises:
        OSError: the file cannot be read.
        ssl.SSLError: it holds no certificate in PEM.
    """
    context = ssl.create_default_context(cafile=ca)
    if ca is not None:
        # Those made at home often lack what Python 3.13 asks for, such as the key identifier of their issuer.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
