"""Read and embed photos on the machines of a Ray cluster."""

from enroll.cluster.machines import connect
from enroll.cluster.spread import Spread

__all__ = ["Spread", "connect"]
