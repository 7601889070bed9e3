"""Workers as Ray actors: on this machine, or on a cluster by its address."""

import os
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from cot_attn.sweeps.executors import Job
from cot_attn.sweeps.work import Outcome

LOOPBACK = "127.0.0.1"


@dataclass
class RayActors(AbstractContextManager["RayActors"]):
    """One Ray actor a worker. Needs the extra `ray`.

    The sweep's folder must be the same on all machines, and so must this library. An actor that
    dies, with its node or alone, is replaced wherever there is room.

    Parameters
    ----------
    n_workers
        How many actors; by default as many as the cluster has room for.
    address
        Of a running cluster, as in `ray.init`; by default one is started on this machine alone,
        without a dashboard and reachable from this machine only, and stopped at the end. Where
        this process is connected to Ray already, that connection is used and left as it is.
    cpus, gpus
        What each actor asks for. With 1 GPU each, run the sweep with `device="cuda"`.
    """

    n_workers: int = 0
    address: str | None = None
    cpus: int | float = 1
    gpus: int | float = 0
    shards_at_once: int = field(default=1, init=False)

    def __enter__(self) -> "RayActors":
        # An address of this machine alone; Ray reads these when it is imported.
        if self.address is None:
            os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        ray = _ray()
        self._ours = not ray.is_initialized()
        if self._ours:
            local = {"include_dashboard": False, "_node_ip_address": LOOPBACK}
            ray.init(
                address=self.address or "local",
                log_to_driver=False,
                **({} if self.address else local),
            )
        if not self.n_workers:
            there = ray.cluster_resources()
            needs = {"CPU": self.cpus, "GPU": self.gpus}
            room = [int(there.get(kind, 0) // n) for kind, n in needs.items() if n]
            self.n_workers = min(room, default=1)
            if not self.n_workers:
                raise ValueError(
                    f"The Ray cluster has {dict(there)}, and each worker asks for {needs}: there "
                    "is no room for one."
                )
        return self

    def __exit__(self, *error: object) -> None:
        if self._ours:
            _ray().shutdown()

    def worker(self, job: Job) -> "_Actor":
        """Start an actor."""
        return _Actor(job, self.cpus, self.gpus)


class _Actor:
    def __init__(self, job: Job, cpus: int | float, gpus: int | float) -> None:
        remote = _ray().remote(num_cpus=cpus, num_gpus=gpus, max_restarts=0)(_Bench)
        self._actor: Any = remote.remote(job)

    def ready(self) -> "Future[None]":
        future: Future[None] = self._actor.ready.remote().future()
        return future

    def take(self, shards: list[str]) -> "Future[list[Outcome]]":
        future: Future[list[Outcome]] = self._actor.attempt.remote(shards).future()
        return future

    def stop(self) -> None:
        _ray().kill(self._actor)


class _Bench:
    """What an actor is made of."""

    def __init__(self, job: Job) -> None:
        self._bench = job.workbench()

    def ready(self) -> None:
        return None

    def attempt(self, shards: list[str]) -> list[Outcome]:
        return self._bench.attempt(shards)


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise ImportError(
            "RayActors needs Ray, which is not installed: pip install 'cot-attn[ray]'."
        ) from error
    return ray
