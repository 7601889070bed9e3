"""The figures of lenses and probes, as entries of the catalogue."""

from typing import Any

import numpy as np

from cot_attn import plots
from cot_attn.report._numbers import percent
from cot_attn.report.figure import Figure, Results


def _by_step(results: Results) -> str:
    """Say for each target where it is found oftenest."""
    found = results.other
    across = "thought" if "thought" in found.dims else "place"
    parts = []
    for target in found["target"].values:
        row = found["estimate"].sel(target=target)
        best = row[across].values[int(row.fillna(-np.inf).argmax(across))]
        parts.append(f"{target}: {percent(row.max())} in {across} {best}".replace("place ", ""))
    return f"More than elsewhere, in percent, and where most. {'; '.join(parts)}."


def _by_layer(results: Results) -> str:
    found = results.other
    parts = []
    for layer in found["layer"].values:
        row = found["estimate"].sel(layer=layer)
        best = row["place"].values[int(row.fillna(-np.inf).argmax("place"))]
        parts.append(f"layer {layer}: {percent(row.max())} at {best}")
    return f"More than elsewhere, in percent, and where most. {'; '.join(parts)}."


def _words(results: Results) -> str:
    last = results.other.isel(layer=-1, rank=0)
    parts = [
        f"{place} {str(token).strip()}"
        for place, token in zip(last["place"].values, last["token"].values, strict=True)
    ]
    return f"At the last layer: {', '.join(parts)}."


def _probe(results: Results) -> str:
    found = results.other
    (across,) = found[found.attrs["measure"]].dims
    rates = found[found.attrs["measure"]]
    parts = [f"{label} {percent(rates.sel({across: label}))}" for label in found[across].values]
    beside = [
        f"{name} {percent(found[each].mean())}"
        for name, each in (("question only", "question_only"), ("control", "control"))
    ]
    return f"Percent. {'; '.join(parts)}. Mean of {', '.join(beside)}."


def _entry(plot: str, title: str, caption: str, words: Any) -> Figure:
    def draw(results: Results, **where: Any) -> Any:
        return getattr(plots, plot)(results.other, **where)

    return Figure(
        name=plot,
        plot=plot,
        title=title,
        caption=caption,
        words=words,
        draw=draw,
        scope="other",
        targets=frozenset({"gallery"}),
    )


READOUTS: tuple[Figure, ...] = (
    _entry(
        "lens_by_step",
        "What a lens reads in which thought",
        "How often a step's result is the first word, less how often it is in others' states.",
        _by_step,
    ),
    _entry(
        "lens_by_layer",
        "What a lens reads at which layer",
        "How often the text is the first word, less how often it is in others' states.",
        _by_layer,
    ),
    _entry(
        "top_words",
        "What a lens reads of one problem",
        "The likeliest tokens at each layer and place; what most problems have is grey.",
        _words,
    ),
    _entry(
        "probe_accuracy",
        "What a probe reads",
        "On problems that it has not seen, beside a control task and the question alone.",
        _probe,
    ),
)
