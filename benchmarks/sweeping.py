"""What sweeps cost: overhead of a shard, workers side by side, memory, and many small shards.

`python -m benchmarks.sweeping` prints a table and writes JSON; `make bench` runs it last.
"""

import io
import json
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

import torch

from benchmarks import growth
from benchmarks.measuring import Beside, interleaved, timed
from benchmarks.parts import Results, Row
from cot_attn import ContinuousThoughtModel, TokenAblator, load_problems
from cot_attn.data import Problem
from cot_attn.interventions import Hook, collect
from cot_attn.sweeps import (
    InProcess,
    Manifest,
    ModelSource,
    Plan,
    Processes,
    open_sweep,
    plan_sweep,
    run_sweep,
)
from cot_attn.sweeps.executors import Job
from cot_attn.sweeps.shard_file import path_of
from cot_attn.toy import handmade_model, handmade_problems

PER_SHARD = 100
ANSWER = 8
N_SHARDS = 10_000


class Workers(TypedDict):
    """How fast one worker and two are; `efficiency` is 1 where two are twice as fast."""

    workers: dict[int, dict[str, float]]
    efficiency: float


def main() -> None:
    torch.set_num_threads(1)
    file = Path("benchmarks/results/sweeping.json")
    results = Results(file, "Sweeps", {"torch": torch.__version__})
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        results.add("overhead of a shard", partial(overhead, folder / "overhead", 3), overhead_rows)
        results.add("workers", partial(workers, folder / "workers"), workers_rows)
        results.add("memory", partial(memory, folder / "memory"), memory_rows)
        results.add("many shards", partial(many, folder / "many"), many_rows)
    results.show()


def overhead_rows(found: Beside) -> Iterator[Row]:
    ratio = found["ratio"]
    yield Row("a shard / the same without a sweep", f"{ratio.wall:.2f}", f"{ratio.cpu:.2f}")


def workers_rows(found: Workers) -> Iterator[Row]:
    yield Row("two workers / twice one, problems a second", f"{found['efficiency']:.2f}")


def memory_rows(found: Mapping[str, float]) -> Iterator[Row]:
    yield Row("peak memory, 100 / 10 shards", f"{found['ratio']:.2f}")


def many_rows(found: Mapping[str, float]) -> Iterator[Row]:
    for name, value in found.items():
        yield Row(f"{N_SHARDS:,} shards: {name}, seconds", f"{value:.1f}")


def overhead(folder: Path, repeats: int) -> Beside:
    """Time shards of 100 problems x 42 variants, and the same variants without a sweep."""
    problems = load_problems("toy", n=PER_SHARD * (repeats + 1))
    plan = _toy(problems)
    manifest = plan_sweep(plan, folder)
    bench = Job(folder, manifest.hash).workbench()
    bench.do(manifest.shards[0].name)  # loads the model, and lets it think once for all donors
    model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
    donors = collect(model, problems, [Hook("input")], batch_size=plan.batch_size)
    ablator = TokenAblator(model, plan.corruptions, donors=donors)
    left = iter(manifest.shards[1:])
    chunks = iter(range(PER_SHARD, len(problems), PER_SHARD))

    def shard() -> None:
        bench.do(next(left).name)

    def plain() -> None:
        start = next(chunks)
        ablator.run(
            problems[start : start + PER_SHARD], max_new_tokens=ANSWER, batch_size=plan.batch_size
        )

    times = interleaved({"plain": plain, "shard": shard}, repeats)
    return {"seconds": times, "ratio": times["shard"] / times["plain"]}


def workers(folder: Path) -> Workers:
    """Time a sweep with one worker and with two, from the first result to the last."""
    problems = load_problems("toy", n=8 * PER_SHARD)
    taken: dict[int, dict[str, float]] = {}
    for n in (1, 2):
        home = folder / str(n)
        plan_sweep(_toy(problems), home)
        seconds, status = timed(partial(run_sweep, home, Processes(n, threads=1)))
        assert status.complete
        ends = sorted(each.stat().st_mtime for each in (home / "shards").iterdir())
        # Each worker's first result comes after its start; the others tell its rate.
        rate = (len(ends) - n) / (ends[-1] - ends[n - 1])
        taken[n] = {"wall": seconds.wall, "problems a second": rate * PER_SHARD}
    efficiency = taken[2]["problems a second"] / (2 * taken[1]["problems a second"])
    return {"workers": taken, "efficiency": efficiency}


def memory(folder: Path, few: int = 10, several: int = 100) -> dict[str, float]:
    """Return the peak memory of processes that do few shards and many, in MB."""
    peaks = {}
    for n in (few, several):
        code = f"from benchmarks.sweeping import peak; print(peak({str(folder / str(n))!r}, {n}))"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        peaks[n] = float(done.stdout)
    return {"MB, few": peaks[few], "MB, many": peaks[several], "ratio": peaks[several] / peaks[few]}


def peak(folder: str, n_shards: int) -> float:
    """Run a sweep of so many small shards here and return this process's peak memory in MB."""
    home = Path(folder)
    handmade_model((1, 4, 1)).save_pretrained(home / "model")
    plan_sweep(_small(home, n_shards, attention=False), home / "sweep")
    run_sweep(home / "sweep", InProcess())
    return growth.peak()


def many(folder: Path, n_shards: int = N_SHARDS) -> dict[str, float]:
    """Time planning, opening and reading a sweep of very many shards; one result stands for all."""
    folder.mkdir()
    handmade_model((1, 4, 1)).save_pretrained(folder / "model")
    home, seconds = folder / "sweep", {}
    begun = time.perf_counter()
    manifest = plan_sweep(_small(folder, n_shards, attention=False), home)
    seconds["planning"] = time.perf_counter() - begun
    first = manifest.shards[0].name
    Job(home, manifest.hash).workbench().do(first)
    _copies(home, first, [shard.name for shard in manifest.shards[1:]])
    works: dict[str, Callable[[], Any]] = {
        "reading the manifest": lambda: Manifest.read(home),
        "opening": lambda: open_sweep(home),
        "one problem": lambda: open_sweep(home)["failed"].isel(problem=n_shards // 2).load(),
        "all of `failed`": lambda: open_sweep(home)["failed"].load(),
    }
    for name, work in works.items():
        seconds[name] = timed(work)[0].wall
    return seconds


def _toy(problems: Sequence[Problem]) -> Plan:
    return Plan(
        ["toy-gpt2"],
        problems,
        attention=False,
        max_new_tokens=ANSWER,
        problems_per_shard=PER_SHARD,
    )


def _small(folder: Path, n: int, *, attention: bool) -> Plan:
    model = ModelSource(str(folder / "model"), "small")
    few = handmade_problems(10, (1, 4, 1))
    problems = [replace(few[number % 10], id=f"{number:06d}") for number in range(n)]
    return Plan(
        [model],
        problems,
        corruptions="zero",
        outcomes=["failed"],
        attention=attention,
        max_new_tokens=3,
        problems_per_shard=1,
    )


def _copies(folder: Path, first: str, names: list[str]) -> None:
    """Write the first result under other names too."""
    with zipfile.ZipFile(path_of(folder, first)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for name in names:
        root = json.loads(members["zarr.json"])
        root["attributes"]["shard"] = name
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w") as archive:
            for member, value in {**members, "zarr.json": json.dumps(root).encode()}.items():
                archive.writestr(member, value)
        path_of(folder, name).write_bytes(data.getvalue())


if __name__ == "__main__":
    main()
