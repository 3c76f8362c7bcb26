"""Run long jobs one after the other beside the requests.

They can be followed and cancelled.

Several processes of one server see each other's jobs by a folder that they share.
"""

from __future__ import annotations

import json
import logging
import queue
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from embedder._internal.files import read_file, write_atomic
from embedder._internal.runtime import Advance, Progress
from enroll.serve.limits import retry_after
from enroll.serve.problems import ProblemError, problem_of

OVER = ("done", "failed", "cancelled")  # states
_KEPT = 50  # jobs that are over
_MOST_WAITING = 8
_LEAVE = 5.0  # seconds for a job to reach its next step, when the server ends
_ID = 16  # hexadecimal digits

_log = logging.getLogger(__name__)


@dataclass
class Job:
    """Holds a long job and its progress; see `schemas.JobSchema`."""

    id: str
    kind: str
    state: str = "waiting"
    step: str = ""
    done: int = 0
    total: int = 0
    made: str = ""
    ended: str | None = None
    result: Any = None
    problem: dict[str, Any] | None = None

    @property
    def is_over(self) -> bool:
        """Whether the job has ended."""
        return self.state in OVER


class JobCancelledError(BaseException):
    """Raised in a job that was cancelled, or whose server ends; no code of ours catches it."""


class _Followed(Progress):
    """Records the progress of a job, and ends it if it was cancelled."""

    def __init__(self, jobs: Jobs, job: Job) -> None:
        self._jobs, self._job = jobs, job

    def say(self, line: str) -> None:
        """Ignore a line."""

    @contextmanager
    def bar(self, label: str, total: int, unit: str = "") -> Iterator[Advance]:
        """Record steps."""
        self._job.step, self._job.done, self._job.total = label, 0, total
        self._jobs.note(self._job)

        def advance(steps: int = 1, detail: str = "") -> None:
            self._job.done = min(self._job.done + steps, total) if total else self._job.done + steps
            self._jobs.note(self._job)

        yield advance


class Jobs:
    """Holds and runs the jobs of a server."""

    def __init__(self, hidden: str, folder: Path | None = None) -> None:
        """Prepare.

        Args:
            hidden: path of the gallery, which is left out of messages.
            folder: that the processes of one server share, private; None if there is one process.
        """
        self._hidden, self._folder = hidden, folder
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._cancelled: set[str] = set()
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._asked: queue.SimpleQueue[tuple[Job, Callable[[Progress], Any]] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None  # from the first job on

    def start(self, kind: str, work: Callable[[Progress], Any]) -> Job:
        """Start a job when those before it are done.

        Args:
            kind: of the job.
            work: a function that gets an object for its progress, and returns what JSON can hold.

        Raises:
            ProblemError: too many wait already.
        """
        job = Job(secrets.token_hex(_ID // 2), kind, made=_now())
        with self._lock:
            if sum(not one.is_over for one in self._jobs.values()) >= _MOST_WAITING:
                raise ProblemError("busy", f"{_MOST_WAITING} jobs wait already", retry_after(30))
            self._jobs[job.id] = job
            self._forget_old()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="embed-jobs", daemon=True)
                self._thread.start()
        self.note(job)
        self._asked.put((job, work))
        return job

    def _work(self) -> None:
        while (asked := self._asked.get()) is not None:
            try:
                self._run(*asked)
            except Exception as error:  # else no job would run any more
                job, _ = asked
                _log.exception("job %s", job.id)
                job.result, job.problem = None, problem_of(error, self._hidden).to_dict(job.id)
                job.state = "failed"
                with suppress(Exception):
                    self.note(job)

    def _run(self, job: Job, work: Callable[[Progress], Any]) -> None:
        try:
            job.state = "running"
            self.note(job)
            job.result = work(_Followed(self, job))
            state = "done"
        except JobCancelledError:
            state = "cancelled"
        except Exception as error:
            state, job.problem = "failed", problem_of(error, self._hidden).to_dict(job.id)
        job.ended = _now()
        job.state = state  # set last, so that a reader who sees it sees the rest
        with suppress(JobCancelledError):
            self.note(job)

    def note(self, job: Job) -> None:
        """Publish the progress of a job.

        Raises:
            JobCancelledError: it was cancelled.
        """
        if self._folder is not None:
            self._share(job)
        if not job.is_over and (self._stopping.is_set() or self._is_cancelled(job.id)):
            raise JobCancelledError

    def _share(self, job: Job) -> None:
        assert self._folder is not None
        try:
            write_atomic(self._folder / f"{job.id}.json", json.dumps(asdict(job)).encode(), private=True)
        except OSError as error:
            _log.warning("the other processes do not see job %s: %s", job.id, error)

    def _is_cancelled(self, number: str) -> bool:
        if number in self._cancelled:
            return True
        return self._folder is not None and (self._folder / f"{number}.cancel").exists()

    def all(self) -> list[Job]:
        """Return the jobs, the newest first."""
        with self._lock:
            known = dict(self._jobs)
        for path in self._folder.glob("*.json") if self._folder else ():
            if path.stem not in known and (job := self._shared(path.stem)) is not None:
                known[job.id] = job
        return sorted(known.values(), key=lambda job: job.made)[::-1]  # jobs of one millisecond, too

    def get(self, number: str) -> Job:
        """Return one job.

        Raises:
            ProblemError: there is none.
        """
        with self._lock:
            job = self._jobs.get(number)
        job = job or self._shared(number)
        if job is None:
            raise ProblemError("not-found", f"there is no job {number[:40]!r}, or it was forgotten")
        return job

    def _shared(self, number: str) -> Job | None:
        if self._folder is None or len(number) != _ID or not number.isalnum():
            return None
        try:
            return Job(**json.loads(read_file(self._folder / f"{number}.json")))
        except (OSError, ValueError, TypeError):
            return None

    def last(self, kind: str) -> Job | None:
        """Return the newest job of a kind that is done."""
        return next((job for job in self.all() if job.kind == kind and job.state == "done"), None)

    def cancel(self, number: str) -> Job:
        """End a job at its next step; what it has done stays.

        Raises:
            ProblemError: there is none.
        """
        job = self.get(number)
        if not job.is_over:
            self._cancelled.add(job.id)
            if self._folder is not None:
                (self._folder / f"{job.id}.cancel").touch()
        return job

    def close(self) -> None:
        """End the running job at its next step; one without a step for 5 s ends with the process."""
        self._stopping.set()
        self._asked.put(None)
        if self._thread is not None:
            self._thread.join(_LEAVE)

    def _forget_old(self) -> None:
        over = [number for number, job in self._jobs.items() if job.is_over]
        for number in over[: max(0, len(over) - _KEPT)]:
            del self._jobs[number]
            self._cancelled.discard(number)
            if self._folder is not None:
                for ending in ("json", "cancel"):
                    (self._folder / f"{number}.{ending}").unlink(missing_ok=True)


def facts_of(job: Job) -> dict[str, Any]:
    """Convert a job to a dict for JSON."""
    return asdict(job)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
