"""Who does the work: this process, or several of this machine.

An executor starts workers; a worker takes a few shards and gives a `Future` of what came of them.
A future that raises means that the worker died. Which shard comes next, and how often one is
tried, is no business of theirs.
"""

import multiprocessing
import os
import threading
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from multiprocessing.context import BaseContext
from pathlib import Path
from types import TracebackType
from typing import Protocol, TypeVar, runtime_checkable

import torch

from cot_attn.sweeps.work import Outcome, Workbench

Known = TypeVar("Known")
IMPORTED = ["transformer_lens.model_bridge", "cot_attn.checkpoints", "cot_attn.toy"]
"""What else a worker imports, when it loads its first model."""


@dataclass(frozen=True)
class Job:
    """What a worker needs to know.

    Attributes
    ----------
    folder
        The sweep's folder.
    manifest
        The hash of its manifest.
    device
        Where models run, as in PyTorch; by default the CPU.
    """

    folder: Path
    manifest: str
    device: str | None = None

    def workbench(self) -> Workbench:
        """Return a table to work at."""
        return Workbench(self.folder, self.manifest, self.device)


@runtime_checkable
class Worker(Protocol):
    """Somebody who does shards."""

    def ready(self) -> "Future[None]":
        """Return what is done once the worker can take shards."""
        ...

    def take(self, shards: list[str]) -> "Future[list[Outcome]]":
        """Do shards, one after the other."""
        ...

    def stop(self) -> None:
        """Stop, at once where that is possible."""
        ...


@runtime_checkable
class Executor(Protocol):
    """An engine that runs workers, for as long as a `with` block lasts."""

    @property
    def n_workers(self) -> int:
        """How many workers it runs at once."""
        ...

    @property
    def shards_at_once(self) -> int:
        """How many shards a worker is given at once."""
        ...

    def worker(self, job: Job) -> Worker:
        """Start a worker."""
        ...

    def __enter__(self) -> "Executor": ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def already(value: Known) -> "Future[Known]":
    """Return a future of what is known."""
    future: Future[Known] = Future()
    future.set_result(value)
    return future


@dataclass
class InProcess(AbstractContextManager["InProcess"]):
    """No other process: the one that asks does everything, shard by shard."""

    n_workers: int = field(default=1, init=False)
    shards_at_once: int = field(default=1, init=False)

    def worker(self, job: Job) -> "_Here":
        """Return the one worker."""
        return _Here(job.workbench())

    def __exit__(self, *error: object) -> None:
        return None


@dataclass
class _Here:
    bench: Workbench

    def ready(self) -> "Future[None]":
        return already(None)

    def take(self, shards: list[str]) -> "Future[list[Outcome]]":
        return already(self.bench.attempt(shards))

    def stop(self) -> None:
        return None


@dataclass
class Processes(AbstractContextManager["Processes"]):
    """Several processes of this machine, which end with this one.

    Parameters
    ----------
    n_workers
        How many.
    threads
        How many threads PyTorch has in each; by default this process's number, shared out.
    """

    n_workers: int
    threads: int | None = None
    shards_at_once: int = field(default=1, init=False)

    def __post_init__(self) -> None:
        if self.n_workers < 1:
            raise ValueError(f"n_workers is {self.n_workers}; give at least 1.")

    def worker(self, job: Job) -> "_Process":
        """Start a process."""
        threads = self.threads or max(1, torch.get_num_threads() // self.n_workers)
        return _Process(job, threads)

    def __exit__(self, *error: object) -> None:
        return None


class _Process:
    """One process, in a pool of its own: a pool breaks as a whole when a process of it dies."""

    def __init__(self, job: Job, threads: int) -> None:
        self._pool = ProcessPoolExecutor(1, beginning(), _begin, (job, threads))

    def ready(self) -> "Future[None]":
        return self._pool.submit(_nothing)

    def take(self, shards: list[str]) -> "Future[list[Outcome]]":
        return self._pool.submit(_attempt, shards)

    def stop(self) -> None:
        for process in list((self._pool._processes or {}).values()):
            process.kill()
        self._pool.shutdown(wait=True, cancel_futures=True)


def beginning() -> BaseContext:
    """Return how processes begin: as copies of one that has imported what they need.

    So only the first of them takes the seconds that imports take. It has done nothing else, and so
    holds no lock, thread or GPU. Windows, which copies no process, begins each anew.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, *IMPORTED])
    return context


_bench: Workbench | None = None


def _begin(job: Job, threads: int) -> None:
    """Set up a process: its table, its threads, and its end."""
    global _bench
    torch.set_num_threads(threads)
    _bench = job.workbench()
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    """End when the process that started this one ends, however it does."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _attempt(shards: list[str]) -> list[Outcome]:
    assert _bench is not None
    return _bench.attempt(shards)


def _nothing() -> None:
    return None
