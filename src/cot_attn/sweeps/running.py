"""Driving a sweep: who does what next, what is tried again, and what is given up."""

from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Any

from cot_attn._lock import locked
from cot_attn._progress import progress
from cot_attn._writing import saying_what_failed
from cot_attn.sweeps.executors import Executor, InProcess, Job, Worker
from cot_attn.sweeps.manifest import Manifest
from cot_attn.sweeps.shard_file import finished, path_of, remove_damaged, remove_unfinished
from cot_attn.sweeps.status import FAILURES, Status, note, status_of
from cot_attn.sweeps.work import Outcome

LOCK = ".driver"
TRIES = 3


def run_sweep(
    folder: str | PathLike[str],
    executor: Executor | None = None,
    *,
    device: str | None = None,
) -> Status:
    """Do what a sweep still lacks; after an interruption of any kind, the same call goes on.

    A shard that fails is tried again, three times in all; then it is given up, its error is kept,
    and the rest goes on. A worker that dies counts as a failure of the shard that it was at.

    Parameters
    ----------
    folder
        What `plan_sweep` wrote.
    executor
        Who does it: `InProcess()`, `Processes(n)`, `RayActors(...)` or `Submitit(...)`; by default
        this process. It changes no result.
    device
        Where models run, as in PyTorch; by default the CPU.

    Returns
    -------
    Status
        What was done, and what was given up.

    Raises
    ------
    BlockingIOError
        Where another process drives the same sweep.
    FileNotFoundError
        Where the folder holds no sweep.
    ValueError
        Where the manifest was changed by hand or while the sweep ran, or planned by another
        version.
    OSError
        Where results cannot be written, on a full disk for instance: what was done stays.

    Examples
    --------
    >>> import tempfile
    >>> from cot_attn import load_problems
    >>> from cot_attn.sweeps import Plan, open_sweep, plan_sweep, run_sweep
    >>> plan = Plan(["toy-gpt2"], load_problems("toy", n=6), corruptions="zero", attention=False)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     manifest = plan_sweep(plan, folder)
    ...     run_sweep(folder).complete
    ...     dict(open_sweep(folder)["failed"].sel(seed=0).squeeze().sizes)
    True
    {'problem': 6, 'thought': 6}
    """
    manifest = Manifest.read(Path(folder))
    manifest.check_version()
    busy = f"Another process runs the sweep in {folder}. Wait for it, or stop it first."
    with locked(manifest.folder / LOCK, busy):
        manifest.check_problems()
        remove_unfinished(manifest.folder)
        done = finished(manifest.folder) & manifest.by_name.keys()
        done -= remove_damaged(manifest.folder, done)
        with saying_what_failed(manifest.folder):
            (manifest.folder / FAILURES).unlink(missing_ok=True)
        left = [shard.name for shard in manifest.shards if shard.name not in done]
        if left:
            job = Job(manifest.folder.absolute(), manifest.hash, device)
            with executor or InProcess() as engine:
                _Drive(manifest, job, engine, left).run()
    return status_of(manifest)


@dataclass(eq=False)
class _Place:
    """A worker's place: who is there, what it does, and which model it has loaded."""

    worker: Worker
    shards: list[str] = field(default_factory=list)
    model: str | None = None


class _Drive:
    """One run of a sweep."""

    def __init__(self, manifest: Manifest, job: Job, engine: Executor, left: list[str]) -> None:
        self.manifest, self.job, self.engine = manifest, job, engine
        self.left: dict[str, dict[str, None]] = {}
        for name in left:
            self._put_back(name)
        self.tries: Counter[str] = Counter()
        self.places: list[_Place] = []
        self.busy: dict[Future[Any], _Place] = {}
        self.idle: list[_Place] = []
        self.fatal: Outcome | None = None

    def run(self) -> None:
        """Do everything that is left."""
        n_left = sum(map(len, self.left.values()))
        n = min(self.engine.n_workers, -(-n_left // self.engine.shards_at_once))
        try:
            with progress("shards", len(self.manifest.shards)) as advance:
                advance(len(self.manifest.shards) - n_left)
                for _ in range(n):
                    place = _Place(self.engine.worker(self.job))
                    self.places.append(place)
                    self.busy[place.worker.ready()] = place
                while self._goes_on():
                    ended, _ = wait(self.busy, return_when=FIRST_COMPLETED)
                    for future in ended:
                        place = self.busy.pop(future)
                        for outcome in self._outcomes(future, place):
                            advance(self._judge(outcome))
                    while self.idle and self.left and not self.fatal:
                        self._occupy(self.idle.pop())
        finally:
            for place in self.places:
                place.worker.stop()
        if self.fatal is not None:
            raise (OSError if self.fatal.scope == "disk" else ValueError)(self.fatal.error)

    def _goes_on(self) -> bool:
        at_work = any(place.shards for place in self.busy.values())
        return at_work or (bool(self.left) and self.fatal is None)

    def _outcomes(self, future: Future[Any], place: _Place) -> list[Outcome]:
        """Return what came of a worker's shards; where it died, of the one that it was at."""
        shards, place.shards = place.shards, []
        try:
            outcomes: list[Outcome] = future.result() or []
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            if not shards:
                self._could_not_start(said)
            place.worker.stop()
            place.worker, place.model = self.engine.worker(self.job), None
            self.busy[place.worker.ready()] = place
            undone = [each for each in shards if not path_of(self.job.folder, each).exists()]
            for name in undone[1:]:
                self._put_back(name)
            outcomes = [Outcome(each) for each in shards if each not in undone]
            return [*outcomes, *(Outcome(each, f"The worker died. {said}") for each in undone[:1])]
        self.idle.append(place)
        return outcomes

    def _could_not_start(self, said: str) -> None:
        self.tries[""] += 1
        if self.tries[""] >= TRIES:
            raise RuntimeError(f"Workers end before they have done anything. {said}")

    def _judge(self, outcome: Outcome) -> int:
        """Take note of an outcome; return how many shards are settled by it."""
        if outcome.error is None:
            return 1
        self.tries[outcome.shard] += 1
        given_up = outcome.scope != "shard" or self.tries[outcome.shard] >= TRIES
        note(self.job.folder, outcome, given_up=given_up)
        if outcome.scope == "model":
            alike = self.left.pop(self._model_of(outcome.shard), {})
            for name in alike:
                note(self.job.folder, replace(outcome, shard=name, details=""), given_up=True)
            return 1 + len(alike)
        if outcome.scope != "shard":
            self.fatal = outcome
        elif not given_up:
            self._put_back(outcome.shard)
        return int(given_up)

    def _occupy(self, place: _Place) -> None:
        """Give a worker its next shards: of its own model, or of that with most left a worker."""
        if place.model not in self.left:
            at_it = Counter(other.model for other in self.busy.values())
            place.model = max(self.left, key=lambda each: len(self.left[each]) / (1 + at_it[each]))
        assert place.model is not None
        waiting = self.left[place.model]
        place.shards = [*islice(waiting, self.engine.shards_at_once)]
        for name in place.shards:
            del waiting[name]
        if not waiting:
            del self.left[place.model]
        self.busy[place.worker.take(place.shards)] = place

    def _put_back(self, name: str) -> None:
        self.left.setdefault(self._model_of(name), {})[name] = None

    def _model_of(self, name: str) -> str:
        return self.manifest.by_name[name].model
