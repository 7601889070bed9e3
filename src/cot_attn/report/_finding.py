"""The finding in a few sentences, made of numbers alone: what they mean is the reader's."""

from collections.abc import Iterator

import numpy as np

from cot_attn import stats
from cot_attn.report._numbers import (
    correlation,
    correlation_interval,
    equals,
    listed,
    percent,
    percent_interval,
)
from cot_attn.study.results import Study

LEVEL = 0.05


def finding(study: Study) -> Iterator[str]:
    """Yield what a study found: how able the model is, what matters, what is looked at."""
    yield (
        f"{study.name} answered {study.n_correct} of {len(study.problems)} problems right "
        f"({percent(study.accuracy)} %)."
    )
    if not study.n_correct:
        yield "Nothing can be said about its thoughts: no answer was there to break."
        return
    yield _importance(study)
    yield _attention(study)
    yield from _agreement(study)


def _importance(study: Study) -> str:
    worst = stats.worst_thought(study.effects, seed=int(study.settings["seed"]))
    mean = study.importance["estimate"].mean()
    return (
        f"Corrupting one thought broke {percent(mean)} % of the answers on average; most often "
        f"thought {int(worst['thought'])}: {percent(worst['estimate'])} % (95 % interval "
        f"{percent_interval(worst)}; the same thought comes out first in "
        f"{percent(worst['certainty'])} % of resamples)."
    )


def _attention(study: Study) -> str:
    layer = study.layers[-1]
    shares = stats.mean_over_problems(study.shares.sel(layer=layer))
    total = study.sequence_attention.sel(layer=layer).sum("thought", skipna=False).mean()
    if not np.isfinite(shares["estimate"]).any():
        return f"No value was found in the answers, so no row of attention from {study.query}."
    top = shares.isel(thought=int(shares["estimate"].argmax("thought")))
    return (
        f"At layer {layer} {study.query} gives {percent(total)} % of its attention to thoughts; "
        f"of that most to thought {int(top['thought'])}: {percent(top['estimate'])} % (95 % "
        f"interval {percent_interval(top)}; an equal share would be "
        f"{percent(1 / shares.sizes['thought'])} %)."
    )


def _agreement(study: Study) -> Iterator[str]:
    within = study.correlations.sel(estimand="within_problem")
    last = within.isel(layer=-1)
    tested = within["q"].dropna("layer")
    if not tested.size:
        reason = str(last["reason"].values)
        yield f"Whether attention tracks importance within problems cannot be said: {reason}."
        return
    yield (
        "Attention and importance within problems (does the thought that gets more than usual "
        f"matter more than usual?): at layer {int(last['layer'])} "
        f"r\N{NO-BREAK SPACE}= {correlation(last['estimate'])} (95 % interval "
        f"{correlation_interval(last)}, q\N{NO-BREAK SPACE}{equals(last['q'])})."
    )
    below = tested["layer"].values[tested.values < LEVEL]
    found = [
        f"{correlation(within['estimate'].sel(layer=layer))} at layer {layer}" for layer in below
    ]
    where = f": r is {listed(found)}" if found else ""
    yield f"q is below {LEVEL} in {len(below)} of {tested.size} layers{where}."
