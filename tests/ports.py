"""Free ports for servers that tests start."""

from __future__ import annotations

import random
import socket

# Linux gives ports from 32768 to whoever asks for any: here no other test gets one before it is used.
_PORTS = range(15_000, 32_000)


def free_port() -> int:
    """Find a port that is free now."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Find several ports that are free now."""
    found: list[int] = []
    while len(found) < count:
        port = random.SystemRandom().choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found
