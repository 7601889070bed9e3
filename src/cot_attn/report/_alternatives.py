"""What a figure shows, in words and numbers, for those who do not see it.

The gist comes first: what one sees at a glance, with its number. Then all numbers.
"""

import xarray as xr

from cot_attn import stats
from cot_attn.report._numbers import (
    correlation,
    correlation_interval,
    each,
    equals,
    percent,
    percent_interval,
)
from cot_attn.report.figure import Results
from cot_attn.study.results import Study

MOST_WORDS = 5


def importance(study: Study) -> str:
    """Say how often each thought's corruption breaks the answer."""
    phrases = [
        f"thought {thought}: {percent(here['estimate'])} ({percent_interval(here)})"
        for thought, here in each(study.importance, "thought")
    ]
    rates = study.importance["estimate"]
    gist = f"{study.name}: from {_greatest(rates)} of answers broken down to {_least(rates)}"
    return f"{gist}. Percent, with 95 % intervals: {'; '.join(phrases)}."


def beside(study: Study) -> str:
    """Say each thought's importance and its share, in the layers that are shown."""
    return _beside(study, study.shown_layers)


def _beside(study: Study, layers: list[int]) -> str:
    shares = study.shares.mean("problem")
    most = [f"{_top(shares.sel(layer=layer))} at layer {layer}" for layer in layers]
    rates = study.importance["estimate"]
    gist = f"{study.name}: {_greatest(rates)} of answers broken matters most; most looked at is "
    gist += ", ".join(most)
    phrases = [f"{gist}. Importance, percent: {_by_thought(rates)}."]
    for layer in layers:
        phrases.append(f"Share at layer {layer}, percent: {_by_thought(shares.sel(layer=layer))}.")
    return " ".join(phrases)


def against(study: Study) -> str:
    """Say how attention and importance go together in the layers that are shown."""
    pooled = study.correlations.sel(estimand="pooled", layer=study.shown_layers)
    gist = f"{study.name}: over all points, {_furthest(pooled)}"
    return f"{gist}. {' '.join(_correlations(study, study.shown_layers))}"


def within(study: Study) -> str:
    """Say how attention and importance go together within problems, in the layers shown."""
    found = study.correlations.sel(estimand="within_problem")
    phrases = [f"layer {layer}: r = {_r(found.sel(layer=layer))}" for layer in study.shown_layers]
    return f"{study.name}: {_furthest(found)}. {'; '.join(phrases)}."


def correlations(study: Study) -> str:
    """Say how attention and importance go together in every layer."""
    within, between = (
        study.correlations.sel(estimand=name) for name in ("within_problem", "between_thoughts")
    )
    phrases = [
        f"Layer {layer}: within problems r = {_r(within.sel(layer=layer))}; between thoughts r = "
        f"{_r(between.sel(layer=layer))}."
        for layer in study.layers
    ]
    return (
        f"{study.name}: within problems {_furthest(within)}; between thoughts "
        f"{_furthest(between)}. {' '.join(phrases)}"
    )


def correlation_map(study: Study) -> str:
    """Say how attention and importance go together across problems, by layer and thought."""
    found = study.correlations_by_thought
    phrases = [
        f"Layer {layer}: "
        + ", ".join(
            f"thought {thought} {correlation(found['estimate'].sel(layer=layer, thought=thought))}"
            for thought in found["thought"].values
        )
        for layer in study.layers
    ]
    flat = found.stack(cell=("layer", "thought"))
    return f"{study.name}: {_furthest(flat, 'cell')}. {'. '.join(phrases)}."


def corruptions(study: Study) -> str:
    """Say how often each thought's corruption breaks the answer, one corruption at a time."""
    rates = study.importance_by_corruption["estimate"]
    phrases = [
        f"{label}: {_by_thought(rates.sel(corruption=label))}."
        for label in rates["corruption"].values
    ]
    means = rates.mean("thought")
    if means.notnull().any():
        ends = [
            means.isel(corruption=int(pick))
            for pick in (means.argmax("corruption"), means.argmin("corruption"))
        ]
        broken = [f"{end['corruption'].item()} with {percent(end)} %" for end in ends]
        gist = f"{broken[0]} of answers broken breaks most, {broken[1]} least"
    else:
        gist = "no answer was there to break"
    return f"{study.name}: {gist}. Percent. {' '.join(phrases)}"


def shares(study: Study) -> str:
    """Say which share of the attention on thoughts each gets, in every layer."""
    return f"{study.name}: {shares_at_layers(study.shares)}"


def shares_at_layers(shares: xr.DataArray) -> str:
    """Say where one thought gets most, then the share of each at each layer."""
    means = shares.mean("problem")
    phrases = [
        f"Layer {layer}: {_by_thought(means.sel(layer=layer))}." for layer in means["layer"].values
    ]
    flat = means.stack(cell=("layer", "thought"))
    gist = "nothing was recorded"
    if flat.notnull().any():
        top = flat.isel(cell=int(flat.fillna(-1).argmax("cell")))
        gist = (
            f"most goes to thought {int(top['thought'])} at layer {int(top['layer'])}, "
            f"{percent(top)} % of the attention on thoughts"
        )
    return f"{gist}. Percent. {' '.join(phrases)}"


def concentration(study: Study) -> str:
    """Say among how many thoughts attention is spread, in every layer."""
    spread = study.concentration.sel(measure="effective_number")
    phrases = [
        f"layer {layer}: {float(here['estimate']):.2f} "
        f"({float(here['low']):.2f} to {float(here['high']):.2f})"
        for layer, here in each(spread, "layer")
    ]
    least = spread.isel(layer=int(spread["estimate"].fillna(float("inf")).argmin("layer")))
    gist = (
        f"{study.name}: attention is on {float(least['estimate']):.1f} of "
        f"{study.shares.sizes['thought']} thoughts in effect at layer {int(least['layer'])}, its "
        "densest"
    )
    return f"{gist}. With 95 % intervals: {'; '.join(phrases)}."


def problems(study: Study) -> str:
    """Say how many problems need each thought."""
    asked = study.failure.dropna("problem", how="all")
    phrases = [
        f"thought {thought}: {int((asked.sel(thought=thought) > 0.5).sum())}"
        for thought in asked["thought"].values
    ]
    n = asked.sizes["problem"]
    needed = (asked > 0.5).sum("problem")
    picks = needed.argmax("thought"), needed.argmin("thought")
    top, least = (int(needed["thought"][int(pick)]) for pick in picks)
    return (
        f"{study.name}: most problems need thought {top}, {int(needed.sel(thought=top))} of {n}, "
        f"and fewest thought {least}, {int(needed.sel(thought=least))}. Problems that most "
        f"corruptions of a thought break: {'; '.join(phrases)}."
    )


def heads(study: Study) -> str:
    """Say between which heads the share of thought 0 lies, in every layer."""
    shares = study.head_shares.sel(thought=0).mean("problem")
    phrases = [
        f"layer {layer}: {percent(shares.sel(layer=layer).min())} to "
        f"{percent(shares.sel(layer=layer).max())}"
        for layer in study.layers
    ]
    flat = shares.stack(cell=("layer", "head"))
    gist = "nothing was recorded"
    if flat.notnull().any():
        top = flat.isel(cell=int(flat.fillna(-1).argmax("cell")))
        where = f"head {int(top['head'])} at layer {int(top['layer'])}"
        gist = f"{where} gives thought 0 most, {percent(top)} % of its attention on thoughts"
    return f"{study.name}: {gist}. Percent, least to most of any head: {'; '.join(phrases)}."


def frozen(results: Results) -> str:
    """Say each thought's importance, and what of it does not travel through later thoughts."""
    study = results.study
    lost = study.importance["estimate"] - results.other["estimate"]
    gist = "nothing was broken"
    if lost.notnull().any():
        most = int(lost["thought"][int(lost.fillna(-1).argmax("thought"))])
        both = [
            percent(rates["estimate"].sel(thought=most))
            for rates in (study.importance, results.other)
        ]
        gist = f"thought {most} breaks {both[0]} % of answers, {both[1]} % if later ones are frozen"
    return (
        f"{study.name}: {gist}. Percent. Later thoughts recomputed: "
        f"{_by_thought(study.importance['estimate'])}. Later thoughts frozen: "
        f"{_by_thought(results.other['estimate'])}."
    )


def flow(results: Results) -> str:
    """Say which share of each thought's attention each thought gets."""
    study, layer = results.study, results.layer
    matrices = stats.flow(study.attention).sel(layer=layer).mean("head")
    means = stats.mean_over_problems(matrices)["estimate"]
    phrases = [
        f"Thought {i} attends to: {_by_thought(means.sel(from_thought=i, thought=slice(i)))}."
        for i in means["from_thought"].values
    ]
    last = means.isel(from_thought=-1)
    gist = f"the last thought looks most at {_greatest(last)} of its attention on thoughts"
    return f"{study.name}, layer {layer}: {gist}. Percent. {' '.join(phrases)}"


def correlations_by_thought(results: Results) -> str:
    """Say how attention and importance go together across problems, within each thought."""
    study, layer = results.study, results.layer
    found = study.correlations_by_thought.sel(layer=layer)
    phrases = [f"thought {thought}: r = {_r(here)}" for thought, here in each(found, "thought")]
    return f"{study.name}: {_furthest(found, 'thought')}. {'; '.join(phrases)}."


def beside_at_a_layer(results: Results) -> str:
    """Say each thought's importance and its share, in one layer."""
    assert results.layer is not None
    return _beside(results.study, [results.layer])


def one_problem(results: Results) -> str:
    """Say which positions of a problem get most attention from the one before the value."""
    rows = results.other["attention"].sel(layer=0).mean("head")
    row = rows.isel(query=-2)
    most = row.isel(key=row.argsort().values[::-1][:MOST_WORDS])
    phrases = [f"{here['key_text'].item()} {percent(here)}" for here in most]
    gist = f"{row['key_text'].values[int(row.argmax('key'))]} gets most, {percent(row.max())} %"
    name = results.other.attrs["problem"]
    return f"Problem {name}, layer 0: {gist} of the attention. Percent: {', '.join(phrases)}."


def _greatest(fractions: xr.DataArray) -> str:
    """Name the thought with the greatest fraction."""
    if not fractions.notnull().any():
        return "n/a"
    return f"{_top(fractions)} with {percent(fractions.max())} %"


def _top(fractions: xr.DataArray) -> str:
    if not fractions.notnull().any():
        return "n/a"
    return f"thought {int(fractions['thought'][int(fractions.fillna(-1).argmax('thought'))])}"


def _least(fractions: xr.DataArray) -> str:
    """Name the thought with the smallest fraction."""
    if not fractions.notnull().any():
        return "n/a"
    last = fractions.isel(thought=int(fractions.fillna(2).argmin("thought")))
    return f"thought {int(last['thought'])} with {percent(last)} %"


def _furthest(found: xr.Dataset, dim: str = "layer") -> str:
    """Name the correlation that is furthest from 0."""
    estimate = found["estimate"]
    if not estimate.notnull().any():
        return "nothing is defined"
    top = found.isel({dim: int(abs(estimate).fillna(-1).argmax(dim))})
    thought = f", thought {int(top['thought'])}" if "thought" in top.coords else ""
    return (
        f"furthest from 0 at layer {int(top['layer'])}{thought}: r = {correlation(top['estimate'])}"
    )


def _by_thought(fractions: xr.DataArray) -> str:
    return ", ".join(
        f"thought {thought} {percent(fractions.sel(thought=thought))}"
        for thought in fractions["thought"].values
    )


def _correlations(study: Study, layers: list[int]) -> list[str]:
    within, pooled = (
        study.correlations.sel(estimand=name) for name in ("within_problem", "pooled")
    )
    return [
        f"Layer {layer}: within problems r = {_r(within.sel(layer=layer))}; "
        f"pooled r = {_r(pooled.sel(layer=layer))}."
        for layer in layers
    ]


def _r(here: xr.Dataset) -> str:
    return f"{correlation(here['estimate'])} ({correlation_interval(here)}, q {equals(here['q'])})"
