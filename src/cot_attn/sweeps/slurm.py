"""Workers as jobs that submitit hands to Slurm, or runs on this machine."""

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from os import PathLike
from pathlib import Path
from typing import Any

from cot_attn.sweeps.executors import Job, already
from cot_attn.sweeps.work import Outcome


class Submitit(AbstractContextManager["Submitit"]):
    """One submitit job for so many shards. Needs the extra `slurm`.

    The sweep's folder must be the same on all machines, and so must this library. Jobs that are
    at work when this process ends finish their shards; a sweep that is resumed meanwhile waits for
    them where it needs the same.

    Parameters
    ----------
    n_workers
        How many jobs there are at once.
    shards_at_once
        How many shards a job does, so that a model is not loaded for one alone.
    logs
        Where submitit writes what jobs say; by default `logs` in the sweep's folder.
    cluster
        `slurm`, or `local` for processes of this machine; by default what submitit finds.
    parameters
        What submitit's `update_parameters` takes: `timeout_min`, `slurm_partition`,
        `gpus_per_node` ...
    """

    def __init__(
        self,
        n_workers: int,
        *,
        shards_at_once: int = 10,
        logs: str | PathLike[str] | None = None,
        cluster: str | None = None,
        **parameters: Any,
    ) -> None:
        for name, number in {"n_workers": n_workers, "shards_at_once": shards_at_once}.items():
            if number < 1:
                raise ValueError(f"{name} is {number}; give at least 1.")
        self.n_workers, self.shards_at_once = n_workers, shards_at_once
        self.logs, self.cluster, self.parameters = logs, cluster, parameters
        self._waiting = ThreadPoolExecutor(n_workers)

    def worker(self, job: Job) -> "_Jobs":
        """Return what submits a worker's jobs."""
        try:
            import submitit
        except ImportError as error:
            raise ImportError(
                "Submitit needs submitit, which is not installed: pip install 'cot-attn[slurm]'."
            ) from error
        logs = Path(self.logs) if self.logs is not None else job.folder / "logs"
        engine = submitit.AutoExecutor(folder=logs, cluster=self.cluster)
        engine.update_parameters(**self.parameters)
        return _Jobs(engine, job, self._waiting)

    def __exit__(self, *error: object) -> None:
        self._waiting.shutdown(wait=False, cancel_futures=True)


class _Jobs:
    def __init__(self, engine: Any, job: Job, waiting: ThreadPoolExecutor) -> None:
        self._engine, self._job, self._waiting = engine, job, waiting
        self._current: Any = None

    def ready(self) -> "Future[None]":
        return already(None)

    def take(self, shards: list[str]) -> "Future[list[Outcome]]":
        self._current = self._engine.submit(_attempt, self._job, shards)
        return self._waiting.submit(self._current.result)

    def stop(self) -> None:
        if self._current is not None and not self._current.done():
            self._current.cancel()


def _attempt(job: Job, shards: list[str]) -> list[Outcome]:
    return job.workbench().attempt(shards)
