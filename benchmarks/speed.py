"""The engine beside the loops that people write, and beside the least that is possible."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypedDict

from benchmarks import batched, plain, planted
from benchmarks.matmul import needed, rate
from benchmarks.measuring import Beside, Seconds, interleaved, middle, timed
from benchmarks.models import N_ANSWER, Subject, problems
from cot_attn.data import Problem
from cot_attn.interventions import Intervention, Zero, run_variants
from cot_attn.models import ContinuousThoughtModel

Comparison = TypedDict(
    "Comparison",
    {
        "planted": float,
        "changed": float,
        "answers that agree": dict[str, float],
        "problems": int,
        "problems of the loops": int,
        "repeats": int,
        "operations": float,
        "operations per second": Seconds,
        "seconds": dict[str, Seconds],
        "ratios": dict[str, Seconds],
    },
)


def compare(
    subject: Subject, part: float, *, n_problems: int, n_plain: int, repeats: int
) -> Comparison:
    """Time the same answers five ways, in turns, and check that they are the same.

    Beside the engine stand two loops of one variant at a time, and two that run all variants of a
    problem as one batch: each from its prompt (`scratch`), or off one reading of it (`shared`).

    Parameters
    ----------
    subject
        The model.
    part
        In which part of the variants the thought is drowned.
    n_problems
        How many problems the engine runs.
    n_plain
        How many of them the loops of one variant at a time run; their time is scaled to all. The
        batches run all problems.
    repeats
        How often everything is measured; medians count.
    """
    given, changes = problems(n_problems), planted.changes(part)
    few = given[:n_plain]
    clean = plain.inputs(subject, given)
    answers: dict[str, list[list[str]]] = {}
    taken: dict[str, list[Seconds]] = {
        name: [] for name in ("plain", "bridge", "scratch", "shared", "engine", "one problem")
    }
    rates: list[Seconds] = []

    def engine(problems: Sequence[Problem]) -> Any:
        return run_variants(
            subject.model,
            problems,
            changes,
            ["failed", "answer"],
            max_new_tokens=N_ANSWER,
            only_correct=False,
        )

    engine(few)
    for _ in range(repeats):
        rates.append(rate(subject))
        seconds, result = timed(lambda: engine(given))
        taken["engine"].append(seconds)
        taken["one problem"].append(timed(lambda: engine(given[:1]))[0])
        for name in ("scratch", "shared"):
            shared = name == "shared"
            seconds, answers[name] = timed(
                partial(batched.all_answers, subject, given, changes, clean, shared=shared)
            )
            taken[name].append(seconds)
        rates.append(rate(subject))
        for name in ("plain", "bridge"):
            bridge = name == "bridge"
            seconds, answers[name] = timed(
                partial(plain.all_answers, subject, few, changes, clean, bridge=bridge)
            )
            taken[name].append(seconds.times(n_problems / n_plain))
    times = {name: middle(each) for name, each in taken.items()}
    baseline = result["baseline_answer"].values
    found = result["answer"].values
    ours = [[own, *row] for own, row in zip(baseline, found, strict=True)]
    operations = needed(subject, baseline, found)
    per_second = middle(rates)
    bound = Seconds(operations / per_second.wall, operations / per_second.cpu)
    ratios = {
        "plain / engine": times["plain"] / times["engine"],
        "bridge / engine": times["bridge"] / times["engine"],
        "scratch / engine": times["scratch"] / times["engine"],
        "shared / engine": times["shared"] / times["engine"],
        "engine / bound": times["engine"] / bound,
        "one problem / a problem of many": times["one problem"].times(n_problems) / times["engine"],
    }
    return {
        "planted": part,
        "changed": float((found != baseline[:, None]).mean()),
        "answers that agree": {name: _agreement(ours, theirs) for name, theirs in answers.items()},
        "problems": n_problems,
        "problems of the loops": n_plain,
        "repeats": repeats,
        "operations": operations,
        "operations per second": per_second,
        "seconds": {**times, "bound": bound},
        "ratios": ratios,
    }


def one_intervention(model: ContinuousThoughtModel, problem: Problem, repeats: int) -> Beside:
    """Time one intervention on one problem beside one plain run of it, in turns.

    What is found out once about a model is known by then.
    """
    works: dict[str, Callable[[], Any]] = {
        "intervention": lambda: run_variants(
            model,
            [problem],
            [Intervention(2, Zero())],
            ["failed"],
            max_new_tokens=N_ANSWER,
            only_correct=False,
        ),
        "plain": lambda: model.run([problem], max_new_tokens=N_ANSWER),
    }
    for work in works.values():
        work()
    times = interleaved(works, repeats)
    return {"seconds": times, "ratio": times["intervention"] / times["plain"]}


def _agreement(ours: Sequence[Sequence[str]], theirs: Sequence[Sequence[str]]) -> float:
    """Return which share of answers is the same, over the problems that both have."""
    same = [
        text == other
        for row, others in zip(ours, theirs, strict=False)
        for text, other in zip(row, others, strict=True)
    ]
    return sum(same) / len(same)
