"""The finding in a few sentences, made of numbers alone: what they mean is the reader's.

What holds over all layers comes first; a thought is named only where its interval leaves the equal
share out, and a layer only with what was measured there.
"""

from collections.abc import Iterator

import numpy as np
import xarray as xr

from cot_attn import stats
from cot_attn.report._numbers import (
    behind,
    corrected,
    correlation,
    correlation_interval,
    each,
    floor,
    listed,
    percent,
    percent_interval,
    tail,
)
from cot_attn.study.results import Study

LEVEL = 0.05
NBSP = "\N{NO-BREAK SPACE}"


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
    yield from _staircase(study)
    yield from _attention(study)
    yield from _agreement(study)
    yield from _by_thought(study)


def reference(study: Study) -> str:
    """Name the one corruption that stands beside the mean: the one that stays most like thoughts.

    That is another problem's thought, where it was among them; else the first.
    """
    labels = [str(label) for label in study.effects["corruption"].values]
    return next((label for label in labels if label.startswith("resample")), labels[0])


def _importance(study: Study) -> str:
    worst = stats.worst_thought(study.effects, seed=int(study.settings["seed"]))
    thought, mean = int(worst["thought"]), study.importance["estimate"].mean()
    label = reference(study)
    alone = study.importance_by_corruption.sel(corruption=label)
    gap = abs(alone["estimate"] - study.importance["estimate"])
    apart = int(gap["thought"][int(gap.fillna(-1).argmax("thought"))])
    here, there = (rates["estimate"].sel(thought=apart) for rates in (alone, study.importance))
    return (
        f"Corrupting one thought broke {percent(mean)} % of the answers on average; most often "
        f"thought {thought}: {percent(worst['estimate'])} % (95 % interval "
        f"{percent_interval(worst)}, wider than in the table since it was picked as the greatest "
        f"of {study.importance.sizes['thought']}; first in {percent(worst['certainty'])} % of "
        f"resamples). That is the mean over {study.effects.sizes['corruption']} corruptions; "
        f"{label} alone broke {percent(alone['estimate'].mean())} % on average, and differs "
        f"most from that mean at thought {apart}: {percent(here)} % against {percent(there)} %."
    )


def _staircase(study: Study) -> Iterator[str]:
    """Say for which thought it matters most how many steps a problem has."""
    if not study.knows_difficulty:
        return
    rates = study.importance_by_difficulty.dropna("difficulty", subset=["estimate"])
    if rates.sizes["difficulty"] < 2:
        return
    ends = rates.isel(difficulty=[0, -1])
    gap = ends["estimate"].diff("difficulty").squeeze("difficulty", drop=True)
    thought = int(gap["thought"][int(abs(gap).argmax("thought"))])
    few, many = (ends.sel(thought=thought).isel(difficulty=end) for end in (0, 1))
    yield (
        f"What a thought matters depends on the number of steps, most for thought {thought}: its "
        f"corruption breaks {percent(few['estimate'])} % ({percent_interval(few)}) of the answers "
        f"to problems of {_steps(few)}, and {percent(many['estimate'])} % "
        f"({percent_interval(many)}) to those of {_steps(many)}."
    )


def _steps(result: xr.Dataset) -> str:
    number = float(result["difficulty"])
    return f"{number:g} step" if number == 1 else f"{number:g} steps"


def _attention(study: Study) -> Iterator[str]:
    shares = stats.mean_over_problems(study.shares, confidence=_picked(study))
    if not np.isfinite(shares["estimate"]).any():
        yield f"No value was found in the answers, so no row of attention from {study.query}."
        return
    total = study.sequence_attention.sum("thought", skipna=False).mean("problem")
    most, least = (
        total.isel(layer=int(pick)) for pick in (total.argmax("layer"), total.argmin("layer"))
    )
    spread = study.concentration.sel(measure="effective_number")
    densest = spread.isel(layer=int(spread["estimate"].argmin("layer")))
    n_thoughts, layer = study.shares.sizes["thought"], int(densest["layer"])
    across = (
        f"gives thoughts {percent(most)} % of its attention at layer {int(most['layer'])}"
        if len(study.layers) == 1
        else f"gives thoughts from {percent(least)} % (layer {int(least['layer'])}) to "
        f"{percent(most)} % (layer {int(most['layer'])}) of its attention"
    )
    yield (
        f"{study.query} {across}. It is most concentrated at layer {layer}: on "
        f"{float(densest['estimate']):.1f} thoughts in effect (95 % interval "
        f"{float(densest['low']):.1f} to {float(densest['high']):.1f}; {n_thoughts} if all got the "
        "same)."
    )
    named = []
    for label in study.layers:
        here = shares.sel(layer=label)
        if not np.isfinite(here["estimate"]).any():
            continue
        top = here.isel(thought=int(here["estimate"].argmax("thought")))
        if float(top["low"]) > 1 / n_thoughts:
            named.append(
                f"thought {int(top['thought'])} at layer {label} ({percent(top['estimate'])} %, "
                f"{percent_interval(top)})"
            )
    equal = f"the equal share of {percent(1 / n_thoughts)} %"
    if named:
        yield (
            f"More than {equal} goes to {listed(_few(named))}; intervals allow for the pick of "
            "thought and layer."
        )
    else:
        yield f"In no layer is any thought's share told apart from {equal}."


def _picked(study: Study) -> float:
    """Give the confidence of each interval when the greatest of all is picked (Bonferroni)."""
    return 1 - 0.05 / (study.shares.sizes["thought"] * len(study.layers))


def _few(named: list[str], most: int = 4) -> list[str]:
    rest = len(named) - most
    return named if rest <= 0 else [*named[:most], f"others in {rest} further layers"]


def _agreement(study: Study) -> Iterator[str]:
    within = study.correlations.sel(estimand="within_problem")
    tested = within.isel(layer=np.isfinite(within["q"].values))
    if not tested.sizes["layer"]:
        reason = str(within["reason"].values[-1])
        yield f"Whether attention tracks importance within problems cannot be said: {reason}."
        return
    smallest = floor(within)
    below = tested.isel(layer=tested["q"].values < LEVEL)
    strongest = tested.isel(layer=int(abs(tested["estimate"]).argmax("layer")))
    q = behind(corrected(strongest, "q", smallest))
    found = [
        f"{correlation(one['estimate'])} at layer {int(one['layer'])}"
        for _, one in each(below, "layer")
    ]
    where = f"r{NBSP}= {listed(_few(found))}" if found else "in none"
    yield (
        "Within problems, does the thought that gets more attention than usual matter more than "
        f"usual? q is below {LEVEL} in {below.sizes['layer']} of {tested.sizes['layer']} layers: "
        f"{where}. Furthest from 0 is layer {int(strongest['layer'])}: r{NBSP}= "
        f"{correlation(strongest['estimate'])} (95 % interval {correlation_interval(strongest)}, "
        f"q{NBSP}{q})."
    )
    yield from _reversal(study, strongest)


def _reversal(study: Study, strongest: xr.Dataset) -> Iterator[str]:
    """Say where thoughts and problems point to opposite sides."""
    here = study.correlations.sel(estimand="between_thoughts", layer=strongest["layer"])
    within, between = float(strongest["estimate"]), float(here["estimate"])
    if not np.isfinite(between) or within * between >= 0 or float(strongest["q"]) >= LEVEL:
        return
    if not float(here["p"]) < LEVEL:
        return
    p = behind(tail(here["p"]))
    yield (
        f"Between thoughts the sign is the other one at layer {int(strongest['layer'])}: over the "
        f"means of {study.shares.sizes['thought']} thoughts r{NBSP}= {correlation(between)} "
        f"(p{NBSP}{p}). A line through all points mixes the two."
    )


def _by_thought(study: Study) -> Iterator[str]:
    """Say for which thought, and where, attention goes with importance across problems."""
    found = study.correlations_by_thought.stack(cell=("layer", "thought"))
    below = found.isel(cell=found["q"].values < LEVEL)
    if not below.sizes["cell"]:
        return
    n = int(np.isfinite(found["q"]).sum())
    parts = []
    for name, chosen in (("positive", below["estimate"] > 0), ("negative", below["estimate"] < 0)):
        side = below.isel(cell=chosen.values)
        if not side.sizes["cell"]:
            continue
        best = side.isel(cell=int(abs(side["estimate"]).argmax("cell")))
        parts.append(
            f"{side.sizes['cell']} are {name} (furthest: thought {int(best['thought'])} at layer "
            f"{int(best['layer'])}, r{NBSP}= {correlation(best['estimate'])}, "
            f"{correlation_interval(best)})"
        )
    yield (
        f"Across problems, thought by thought, {below.sizes['cell']} of {n} correlations at single "
        f"layers have q below {LEVEL}: {listed(parts)}."
    )
