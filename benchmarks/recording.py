"""What recording costs, in time and on disk, and what reading states as words does."""

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NotRequired, TypedDict

import torch

from benchmarks.measuring import Beside, Seconds, interleaved, timed
from benchmarks.models import N_ANSWER, Subject, problems
from cot_attn.data import Problem
from cot_attn.readouts import logit_lens
from cot_attn.recording import AttentionRecorder, StateRecorder
from cot_attn.study._packing import rounded
from cot_attn.study._storage import read_folder, write_folder


class OfProblems(Beside):
    """What a piece of work took beside another, over so many problems."""

    problems: int
    repeats: NotRequired[int]
    states: NotRequired[int]


Stored = TypedDict(
    "Stored",
    {
        "problems": int,
        "shape": dict[str, int],
        "megabytes": float,
        "greatest error of a row": float,
        "greatest error of a row's sum": float,
    },
)


def attention(subject: Subject, n_problems: int, repeats: int) -> OfProblems:
    """Time runs without a recorder, and with one of attention at all layers and heads, in turns."""
    given = problems(n_problems)

    def recorded() -> None:
        with AttentionRecorder(subject.model) as recorder:
            subject.model.run(given, max_new_tokens=N_ANSWER)
        recorder.dataset()

    def bare() -> None:
        subject.model.run(given, max_new_tokens=N_ANSWER)

    bare()
    times = interleaved({"bare": bare, "attention": recorded}, repeats)
    return {
        "problems": n_problems,
        "repeats": repeats,
        "seconds": times,
        "ratio": times["attention"] / times["bare"],
    }


def states(subject: Subject, n_problems: int = 200) -> OfProblems:
    """Time runs without a recorder, and with one of states at all layers and places.

    Each half of the problems is run both ways, the second one in the other order, so that a machine
    that grows slower meanwhile slows both alike.
    """
    given = problems(n_problems)
    halves = given[: n_problems // 2], given[n_problems // 2 :]

    def bare(half: Sequence[Problem]) -> None:
        subject.model.run(half, max_new_tokens=N_ANSWER)

    def recorded(half: Sequence[Problem]) -> None:
        with StateRecorder(subject.model) as recorder:
            bare(half)
        recorder.dataset()

    bare(given[:8])
    ways = {"bare": bare, "states": recorded}
    taken = dict.fromkeys(ways, Seconds(0.0, 0.0))
    for half, order in zip(halves, (list(ways), list(ways)[::-1]), strict=True):
        for name in order:
            taken[name] += timed(partial(ways[name], half))[0]
    return {
        "problems": n_problems,
        "seconds": taken,
        "ratio": taken["states"] / taken["bare"],
    }


def lens(subject: Subject, n_problems: int, repeats: int) -> OfProblems:
    """Time the logit lens over every layer and place, beside the bare product it cannot do without.

    The product is that of all states with the unembedding, in pieces of 1024 states.
    """
    given, model = problems(n_problems), subject.model
    with StateRecorder(model) as recorder:
        model.run(given, max_new_tokens=N_ANSWER)
    states = recorder.dataset()
    targets = {problem.id: ["w7"] for problem in given}
    vectors = torch.from_numpy(states["state"].values).flatten(0, 2).to(model.device, model.dtype)
    head = model.bridge.original_model.get_output_embeddings().weight

    @torch.no_grad()
    def product() -> None:
        for piece in torch.split(vectors, 1024):
            (piece @ head.T).float().logsumexp(dim=-1)

    works = {"lens": lambda: logit_lens(model, states, given, targets), "product": product}
    times = interleaved(works, repeats)
    return {
        "problems": n_problems,
        "states": len(vectors),
        "repeats": repeats,
        "seconds": times,
        "ratio": times["lens"] / times["product"],
    }


def stored(subject: Subject, n_problems: int = 100) -> Stored:
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
        "shape": {str(dim): n for dim, n in record["attention"].sizes.items()},
        "megabytes": size / 1e6,
        "greatest error of a row": float(abs(back - exact)["attention"].sum("key").max()),
        "greatest error of a row's sum": float(abs(sums - 1).max()),
    }
