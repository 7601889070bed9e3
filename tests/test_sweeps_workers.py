"""Workers that are killed, nodes that go, drivers that die: nothing is lost or done twice."""

import contextlib
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from cot_attn.interventions import GaussianNoise, Resample
from cot_attn.sweeps import (
    Executor,
    InProcess,
    Manifest,
    ModelSource,
    Plan,
    Processes,
    RayActors,
    Status,
    Submitit,
    plan_sweep,
    run_sweep,
    sweep_status,
)
from cot_attn.sweeps.executors import Job, beginning
from cot_attn.sweeps.shard_file import finished, path_of
from cot_attn.toy import handmade_model, handmade_problems

pytestmark = [pytest.mark.slow, pytest.mark.waits]

PROBLEMS = handmade_problems(4, (1, 4, 1))
N_SHARDS = 8
LOCAL_RAY = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}
os.environ.update(LOCAL_RAY)  # read when Ray is imported: addresses of this machine alone


@pytest.fixture(autouse=True, scope="module")
def ray_workers_as_urgent_as_all_else() -> Iterator[None]:
    """Ray's workers have a niceness of 15: beside other tests they would wait for minutes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_worker_niceness", "0")
        yield


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    folder = tmp_path_factory.mktemp("models")
    for name, weights in {"one": (1, 4, 1), "other": (1, 6, 1)}.items():
        handmade_model(weights).save_pretrained(folder / name)
    return Plan(
        [ModelSource(str(folder / name), name) for name in ("one", "other")],
        PROBLEMS,
        corruptions=[GaussianNoise(0.5), Resample()],
        max_new_tokens=3,
        batch_size=64,
        problems_per_shard=2,
    )


@pytest.fixture(scope="module")
def blank(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of which nothing is done yet."""
    planned = plan_sweep(plan, tmp_path_factory.mktemp("blank") / "sweep")
    assert len(planned.shards) == N_SHARDS
    return planned.folder


@pytest.fixture(scope="module")
def expected(blank: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one process gives."""
    folder = Path(shutil.copytree(blank, tmp_path_factory.mktemp("expected") / "sweep"))
    assert run_sweep(folder, InProcess()).complete
    return results(folder)


@pytest.fixture
def sweep(blank: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(blank, tmp_path / "sweep"))


def results(folder: Path) -> dict[str, bytes]:
    """Return every finished result."""
    return {
        each.name: each.read_bytes()
        for each in (folder / "shards").iterdir()
        if not each.name.startswith(".")
    }


def times(folder: Path) -> dict[str, int]:
    """When each result was written: one that is written again has another time."""
    return {
        each.name: each.stat().st_mtime_ns
        for each in (folder / "shards").iterdir()
        if not each.name.startswith(".")
    }


def waited(condition: Callable[[], Any], seconds: int = 300) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(FileNotFoundError):
            if found := condition():
                return found
        time.sleep(0.02)
    raise TimeoutError


def at_work(folder: Path) -> list[str]:
    """Return the shards that somebody is at."""
    return [each.stem for each in (folder / "working").glob("*.lock")]


class Meanwhile:
    """Does something once while a sweep runs, and keeps what it gave."""

    def __init__(self, folder: Path, act: Callable[[], Any], after: int = 2) -> None:
        self.folder, self.act, self.after = folder, act, after
        self.gave: Any = None
        self._thread = threading.Thread(target=self._wait)

    def _wait(self) -> None:
        waited(lambda: len(finished(self.folder)) >= self.after and at_work(self.folder))
        self.gave = self.act()

    def __enter__(self) -> "Meanwhile":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._thread.join()


def parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def children(name: str) -> list[int]:
    """Return processes below this one whose command line has a text."""
    found, below = [], {os.getpid()}
    for process in sorted(int(place.name) for place in Path("/proc").glob("[0-9]*")):
        with contextlib.suppress(OSError, IndexError):
            if parent(process) in below:
                below.add(process)
                if name in Path(f"/proc/{process}/cmdline").read_text():
                    found.append(process)
    return found


def begun() -> set[int]:
    """Return processes that were begun as copies of one that this one has started."""
    return {each for each in children("forkserver") if parent(each) != os.getpid()}


def gone(process: int) -> bool:
    """Return whether a process has ended; nobody may have taken note of its end."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_two_processes_give_what_one_gives(sweep: Path, expected: dict[str, bytes]) -> None:
    status = run_sweep(sweep, Processes(2))
    assert status.complete
    assert not status.failures
    assert results(sweep) == expected
    assert not at_work(sweep)


def test_a_process_that_is_killed_is_replaced_and_its_shard_done_again(
    sweep: Path, expected: dict[str, bytes]
) -> None:
    def kill() -> str:
        os.kill(max(begun()), signal.SIGKILL)
        return "killed"

    with Meanwhile(sweep, kill) as meanwhile:
        status = run_sweep(sweep, Processes(2))
    assert meanwhile.gave == "killed"
    assert status.complete
    assert len(status.failures) <= 1  # none, where it was between two shards
    assert all("The worker died" in str(each.error) for each in status.failures)
    assert results(sweep) == expected


def test_a_shard_that_kills_its_workers_is_given_up_alone(
    sweep: Path, expected: dict[str, bytes]
) -> None:
    bad = Manifest.read(sweep).shards[5].name
    status = run_sweep(sweep, Killing(2, bad))
    assert set(status.given_up) == {bad}
    assert "The worker died. BrokenProcessPool" in status.given_up[bad]
    assert len(status.done) == N_SHARDS - 1
    assert run_sweep(sweep, Processes(1)).complete
    assert results(sweep) == expected


class Killing(Processes):
    """Processes of which each is killed by one shard."""

    def __init__(self, n_workers: int, bad: str) -> None:
        super().__init__(n_workers)
        self.bad = bad

    def worker(self, job: Any) -> Any:
        worker, bad = super().worker(job), self.bad
        take = worker.take

        def taking(shards: list[str]) -> Any:
            return worker._pool.submit(os._exit, 9) if bad in shards else take(shards)

        worker.take = taking  # type: ignore[method-assign]
        return worker


@contextlib.contextmanager
def driver(folder: Path, executor: Executor) -> Iterator[BaseProcess]:
    """Another process that drives a sweep."""
    process = beginning().Process(target=run_sweep, args=(folder, executor))  # type: ignore[attr-defined]
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


@pytest.mark.parametrize("executor", [InProcess(), Processes(2)])
def test_a_driver_that_is_killed_leaves_whole_results_and_no_workers(
    sweep: Path, expected: dict[str, bytes], executor: Executor
) -> None:
    before = begun()
    with driver(sweep, executor) as process:
        waited(lambda: len(finished(sweep)) >= 2 and at_work(sweep))
        workers = begun() - before - {process.pid}  # two, and the one that they are copies of
        assert len(workers) == (3 if isinstance(executor, Processes) else 0)
        with pytest.raises(BlockingIOError, match="Another process runs the sweep"):
            run_sweep(sweep)
        process.kill()
        process.join()
    for worker in workers:
        waited(lambda worker=worker: gone(worker))
    whole = times(sweep)
    assert 0 < len(whole) < N_SHARDS
    assert results(sweep).items() <= expected.items()
    assert run_sweep(sweep, Processes(2)).complete
    assert results(sweep) == expected
    assert times(sweep).items() >= whole.items()


def test_a_shard_that_an_orphan_is_at_is_waited_for_and_not_done_twice(sweep: Path) -> None:
    manifest = Manifest.read(sweep)
    bench, name = Job(sweep, manifest.hash).workbench(), manifest.shards[0].name
    bench.do(name)
    before = times(sweep)
    held, seconds = threading.Event(), 0.5

    def orphan() -> None:
        with FileLock(sweep / "working" / f"{name}.lock"):
            held.set()
            time.sleep(seconds)

    thread = threading.Thread(target=orphan)
    thread.start()
    held.wait()
    begun = time.monotonic()
    assert [each.error for each in bench.attempt([name])] == [None]
    assert time.monotonic() - begun > seconds / 2
    thread.join()
    assert times(sweep) == before


def test_of_what_a_worker_was_given_at_once_only_what_it_has_not_done_is_done_again(
    sweep: Path, expected: dict[str, bytes]
) -> None:
    executor = EndingHalfway(3)
    status = run_sweep(sweep, executor)
    assert status.complete
    assert [each.shard for each in status.failures] == [executor.given[0][3]]
    assert "The worker died. EOFError" in str(status.failures[0].error)
    written = [shard for shards in executor.done for shard in shards]
    assert len(written) == len(set(written)) == N_SHARDS
    assert results(sweep) == expected


class EndingHalfway(InProcess):
    """A worker that is given all shards of a model, and ends once after so many of them."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.shards_at_once, self.after = N_SHARDS, after
        self.given: list[list[str]] = []
        self.done: list[list[str]] = []

    def worker(self, job: Job) -> Any:
        worker = super().worker(job)
        take = worker.take

        def taking(shards: list[str]) -> Any:
            self.given.append(shards)
            ends = len(self.given) == 1
            self.done.append(shards[: self.after] if ends else shards)
            outcomes = take(self.done[-1])
            if ends:
                outcomes = Future()
                outcomes.set_exception(EOFError())
            return outcomes

        worker.take = taking  # type: ignore[method-assign]
        return worker


# submitit -------------------------------------------------------------------------------------


def test_submitit_gives_what_one_process_gives_where_a_job_is_killed_too(
    sweep: Path, expected: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    submitit = pytest.importorskip("submitit")
    monkeypatch.setattr(
        submitit.Job, "_results_timeout_s", 1
    )  # this disk is not slow to show a file
    done = [each.name for each in Manifest.read(sweep).shards if each.model == "other"]
    for name in done:  # a job is for one model, and each takes seconds to begin
        path_of(sweep, name).parent.mkdir(exist_ok=True)
        path_of(sweep, name).write_bytes(expected[path_of(sweep, name).name])

    def kill() -> int:
        jobs = children("submitit.core._submit")
        for job in jobs:
            os.kill(job, signal.SIGKILL)
        return len(jobs)

    with Meanwhile(sweep, kill, after=len(done) + 1) as meanwhile:
        status = run_sweep(
            sweep, Submitit(1, shards_at_once=N_SHARDS, cluster="local", timeout_min=5)
        )
    assert meanwhile.gave
    assert status.complete, status.given_up
    assert len(status.failures) <= 1  # that of the shard that it was at
    assert results(sweep) == expected


# Ray ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A Ray cluster of two nodes on this machine, on its loopback address, and nothing to spare."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    node = {
        "num_cpus": 1,
        "node_ip_address": "127.0.0.1",
        "object_store_memory": 80_000_000,
        "include_dashboard": False,
        "include_log_monitor": False,
        "no_monitor": True,  # of what is to grow by itself
    }
    cluster = None
    try:
        cluster = Cluster(initialize_head=True, head_node_args=node)
        cluster.add_node(**node)
        ray.init(address=cluster.address, _node_ip_address="127.0.0.1", log_to_driver=False)
    except Exception as error:
        ray.shutdown()
        if cluster is not None:
            cluster.shutdown()
        pytest.skip(f"Ray cannot start here: {error}")
    cluster.node = node
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def two_nodes(cluster: Any) -> Any:
    """The cluster, with another node where a test has removed one."""
    if not cluster.worker_nodes:
        cluster.add_node(**cluster.node)
    return cluster


def test_a_driver_of_a_ray_cluster_that_is_killed_is_resumed_by_two_nodes(
    two_nodes: Any, sweep: Path, expected: dict[str, bytes]
) -> None:
    with driver(sweep, RayActors(1, address=two_nodes.address)) as process:
        waited(lambda: len(finished(sweep)) >= 2 and at_work(sweep))
        process.kill()
        process.join()
    waited(lambda: not named("ray::_Bench"))
    before = times(sweep)
    assert 0 < len(before) < N_SHARDS
    executor = RayActors()
    status = run_sweep(sweep, executor)
    assert executor.n_workers == 2
    assert status.complete, status.given_up
    assert not status.failures
    assert results(sweep) == expected
    assert times(sweep).items() >= before.items()


def test_an_actor_that_is_killed_and_a_node_that_is_removed_cost_a_worker_each_and_no_result(
    two_nodes: Any, sweep: Path, expected: dict[str, bytes]
) -> None:
    node = next(each for each in two_nodes.worker_nodes)

    def kill() -> int:
        actors = named("ray::_Bench")
        os.kill(actors[0], signal.SIGKILL)
        return len(actors)

    def remove() -> str:
        two_nodes.remove_node(node, allow_graceful=False)
        return "removed"

    with Meanwhile(sweep, kill, after=1) as first, Meanwhile(sweep, remove, after=4) as second:
        status = run_sweep(sweep, RayActors(2))
    assert first.gave >= 1
    assert second.gave == "removed"
    assert status.complete, status.given_up
    assert results(sweep) == expected


def named(name: str) -> list[int]:
    """Return the processes of this machine whose title begins so."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (place / "cmdline").read_text().startswith(name):
                found.append(int(place.name))
    return found


def test_ray_starts_on_this_machine_alone_where_no_address_is_given(
    sweep: Path, expected: dict[str, bytes]
) -> None:
    pytest.importorskip("ray")
    with driver(sweep, RayActors(1)) as process:
        process.join(timeout=200)
        assert process.exitcode == 0
    assert sweep_status(sweep).complete
    assert results(sweep) == expected


def test_an_executor_says_what_it_cannot_do() -> None:
    with pytest.raises(ValueError, match="n_workers is 0; give at least 1"):
        Processes(0)
    with pytest.raises(ValueError, match="shards_at_once is 0; give at least 1"):
        Submitit(1, shards_at_once=0)
    for executor in (InProcess(), Processes(1), RayActors(1), Submitit(1)):
        assert isinstance(executor, Executor)
    assert isinstance(Status(Path(), 0, frozenset(), (), {}), Status)
