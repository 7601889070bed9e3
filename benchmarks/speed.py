"""The engine beside the loops that people write, and beside the least that is possible."""

from statistics import median
from typing import Any

from benchmarks import plain, planted
from benchmarks.matmul import needed, rate
from benchmarks.measuring import Seconds, middle, timed
from benchmarks.models import N_ANSWER, Subject, problems
from cot_attn.interventions import run_variants


def compare(
    subject: Subject, part: float, *, n_problems: int, n_plain: int, repeats: int
) -> dict[str, Any]:
    """Time the same answers three ways, in turns, and check that they are the same.

    Parameters
    ----------
    subject
        The model.
    part
        In which part of the variants the thought is drowned.
    n_problems
        How many problems the engine runs.
    n_plain
        How many of them the plain loops run; their time is scaled to all.
    repeats
        How often everything is measured; medians count.
    """
    given, changes = problems(n_problems), planted.changes(part)
    few = given[:n_plain]
    clean = plain.inputs(subject, few)
    taken: dict[str, list[Seconds]] = {"plain": [], "bridge": [], "engine": []}
    rates: list[tuple[float, float]] = []

    def engine() -> Any:
        return run_variants(
            subject.model,
            given,
            changes,
            ["failed", "answer"],
            max_new_tokens=N_ANSWER,
            only_correct=False,
        )

    run_variants(subject.model, few, changes, ["failed", "answer"], max_new_tokens=N_ANSWER)
    for _ in range(repeats):
        rates.append(rate(subject))
        seconds, result = timed(engine)
        taken["engine"].append(seconds)
        rates.append(rate(subject))
        for name in ("plain", "bridge"):
            seconds, answers = timed(
                lambda name=name: plain.all_answers(
                    subject, few, changes, clean, bridge=name == "bridge"
                )
            )
            taken[name].append(seconds.times(n_problems / n_plain))
    times = {name: middle(each) for name, each in taken.items()}
    baseline = result["baseline_answer"].values
    found = result["answer"].values
    same = [
        text == expected
        for own, row, (first, *others) in zip(baseline, found, answers, strict=False)
        for text, expected in zip([own, *row], [first, *others], strict=True)
    ]
    operations = needed(subject, baseline, found)
    bound = Seconds(*(operations / median(each) for each in zip(*rates, strict=True)))
    ratios = {
        "plain / engine": times["plain"] / times["engine"],
        "bridge / engine": times["bridge"] / times["engine"],
        "engine / bound": times["engine"] / bound,
    }
    return {
        "planted": part,
        "changed": float((found != baseline[:, None]).mean()),
        "answers that agree": sum(same) / len(same),
        "problems": n_problems,
        "problems of the loops": n_plain,
        "repeats": repeats,
        "operations": operations,
        "operations per second": {
            "wall": median(each[0] for each in rates),
            "cpu": median(each[1] for each in rates),
        },
        "seconds": {name: vars(each) for name, each in {**times, "bound": bound}.items()},
        "ratios": {name: vars(each) for name, each in ratios.items()},
    }
