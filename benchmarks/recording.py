"""What recording attention costs, in time and on disk."""

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.measuring import interleaved
from benchmarks.models import N_ANSWER, Subject, problems
from cot_attn.recording import AttentionRecorder
from cot_attn.study._packing import rounded
from cot_attn.study._storage import read_folder, write_folder


def overhead(subject: Subject, n_problems: int, repeats: int) -> dict[str, Any]:
    """Time runs with and without a recorder of all layers and heads, in turns."""
    given = problems(n_problems)

    def bare() -> None:
        subject.model.run(given, max_new_tokens=N_ANSWER)

    def recorded() -> None:
        with AttentionRecorder(subject.model) as recorder:
            subject.model.run(given, max_new_tokens=N_ANSWER)
        recorder.dataset()

    bare()
    times = interleaved({"bare": bare, "recorded": recorded}, repeats)
    return {
        "problems": n_problems,
        "repeats": repeats,
        "seconds": {name: vars(each) for name, each in times.items()},
        "ratio": vars(times["recorded"] / times["bare"]),
    }


def stored(subject: Subject, n_problems: int = 100) -> dict[str, Any]:
    """Store a record of all layers, heads, queries and keys as a study does, and read it back.

    The error of a row is the sum of its entries' absolute errors.
    """
    with AttentionRecorder(subject.model) as recorder:
        subject.model.run(problems(n_problems), max_new_tokens=N_ANSWER, batch_size=50)
    exact = recorder.dataset()
    record = exact.map(rounded, keep_attrs=True)
    with tempfile.TemporaryDirectory() as folder:
        target = write_folder(Path(folder) / "study", {"attention": record}, {}, problems(1))
        size = sum(f.stat().st_size for f in (target / "attention.zarr").rglob("*") if f.is_file())
        back = read_folder(target, ["attention"])[0]["attention"]
    sums = back["attention"].sum("key", skipna=False)
    return {
        "problems": n_problems,
        "shape": dict(record["attention"].sizes),
        "megabytes": size / 1e6,
        "greatest error of a row": float(abs(back - exact)["attention"].sum("key").max()),
        "greatest error of a row's sum": float(abs(sums - 1).max()),
    }
