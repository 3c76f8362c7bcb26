"""Define the devices of a training run: they change its duration, not its result."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from embedder.config.fields import check_options, option
from embedder.errors import UsageError

BACKENDS = ("tensorflow", "jax")
PARALLEL = ("no", "data", "classes")
_machine = partial(option, panel="Machines")


@dataclass(frozen=True)
class DeviceConfig:
    """Holds the devices and processes of a training run, and what they share (docs/scale.md).

    Each field is an option of `embed train`; its `help` says what it does.

    Raises:
        UsageError: a value is out of its range, or two options contradict each other.

    Example:
        >>> DeviceConfig(parallel="data").sharing
        'data'
        >>> DeviceConfig(coordinator="node1:9000", num_processes=2).address
        ('node1', 9000)
    """

    backend: str | None = _machine(
        None,
        "What Keras computes with: tensorflow or jax.",
        among=BACKENDS,
        unset="KERAS_BACKEND, else tensorflow; jax with --parallel",
    )
    parallel: str = _machine(
        "no",
        "data: all GPUs share each batch; classes: they also share classifier and centers, for millions of "
        "people. Needs JAX.",
        among=PARALLEL,
    )
    coordinator: str | None = _machine(
        None, "HOST:PORT of process 0, for training on several machines.", unset="one process"
    )
    num_processes: int = _machine(1, "How many processes train together.", within=(1, 10_000))
    process_id: int = _machine(0, "Which of them this is, from 0.", within=(0, 9_999))
    startup_timeout: float = _machine(
        300.0,  # machines of a cluster often start minutes apart
        "Seconds that processes wait for each other at the start.",
        within=(1.0, 86_400.0),
    )

    def __post_init__(self) -> None:
        """Check the ranges of all options, and options that contradict each other.

        Raises:
            UsageError: a value is out of its range, or the options contradict each other.
        """
        check_options(self)
        if self.process_id >= self.num_processes:
            raise UsageError(
                f"--process-id: expected 0 to {self.num_processes - 1} with --num-processes "
                f"{self.num_processes}, got {self.process_id}"
            )
        if self.num_processes > 1 and self.coordinator is None:
            raise UsageError(
                f"--num-processes: {self.num_processes} of them need --coordinator HOST:PORT, where "
                "process 0 runs"
            )
        if self.coordinator is not None:
            self.address  # noqa: B018 - checks it
        if self.backend == "tensorflow" and (self.parallel != "no" or self.num_processes > 1):
            raise UsageError(
                "--backend: expected jax for training on several devices, got tensorflow: Keras 3 cannot "
                "train on several machines with TensorFlow; leave --backend out or use --backend jax"
            )
        if self.parallel == "classes" and self.num_processes > 1:
            raise UsageError(
                "--parallel: classes are shared among the devices of one process, got --num-processes "
                f"{self.num_processes}; use --parallel data, or one machine with more GPUs"
            )

    @property
    def address(self) -> tuple[str, int]:
        """Host name and port number of process 0.

        Raises:
            UsageError: `coordinator` is not written HOST:PORT.
        """
        host, _, port = (self.coordinator or "").rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 2**16:
            raise UsageError(f"--coordinator: expected HOST:PORT, got {self.coordinator!r}")
        return host.removeprefix("[").removesuffix("]"), int(port)

    @property
    def sharing(self) -> str:
        """One of `PARALLEL`: what the devices share; several processes share data at least."""
        return "data" if self.parallel == "no" and self.num_processes > 1 else self.parallel
