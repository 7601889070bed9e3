"""The figures of lenses and probes, as entries of the catalogue."""

from typing import Any

import numpy as np
import xarray as xr

from cot_attn import plots
from cot_attn.report._numbers import percent
from cot_attn.report.figure import Figure, Results
from cot_attn.study.results import Study

MORE = "Percent of problems less that of others' states"


def _by_step(results: Results) -> str:
    """Say of each step in which thought it is found oftenest."""
    found = results.study.lens_of_fed.sel(answered="all")
    parts = [
        f"{target} {_best(found.sel(target=target), 'thought')}"
        for target in found["target"].values
    ]
    return f"{results.study.name}: {_gist(found, 'thought')}. {MORE}: {', '.join(parts)}."


def _by_layer(results: Results) -> str:
    """Say of each layer at which place the step is found oftenest."""
    found = _second(results.study)
    parts = [
        f"layer {layer} {_best(found.sel(layer=layer), 'place')}" for layer in found["layer"].values
    ]
    target = found["target"].item()
    return f"{results.study.name}, {target}: {_gist(found, 'place')}. {MORE}: {', '.join(parts)}."


def _gist(found: xr.Dataset, dim: str) -> str:
    """Say where a lens finds most beyond chance."""
    rates = found["estimate"]
    flat = rates.stack(cell=rates.dims)
    if not flat.notnull().any():
        return "nothing was read"
    top = flat.isel(cell=int(flat.fillna(-np.inf).argmax("cell")))
    where = f"thought {top['thought'].item()}" if dim == "thought" else top[dim].item()
    what = top["target"].item() if dim == "thought" else f"layer {top['layer'].item()}"
    return f"most is found beyond chance with {what} at {where}, {percent(top)} points"


def _best(row: xr.Dataset, dim: str) -> str:
    rates = row["estimate"]
    if rates.isnull().all():
        return "n/a"
    label = rates[dim].values[int(rates.fillna(-np.inf).argmax(dim))]
    where = f"thought {label}" if dim == "thought" else label
    return f"{percent(rates.max())} ({where})"


def _second(study: Study) -> xr.Dataset:
    """Return what a lens finds of the second target: the first may be read before any thought."""
    found = study.lens.sel(answered="all")
    return found.isel(target=min(1, found.sizes["target"] - 1))


def _words(results: Results) -> str:
    last = results.other.isel(layer=-1, rank=0)
    parts = [
        f"{place} {str(token).strip()}"
        for place, token in zip(last["place"].values, last["token"].values, strict=True)
    ]
    told = str(last["token"].values[-1]).strip()
    gist = f"At the last layer, {last['place'].values[-1]} reads as {told}"
    return f"{gist}. Of {len(parts)} places: {', '.join(parts)}."


def _probe(results: Results) -> str:
    found = results.other
    (across,) = found[found.attrs["measure"]].dims
    rates = found[found.attrs["measure"]]
    parts = [f"{label} {percent(rates.sel({across: label}))}" for label in found[across].values]
    beside = [
        f"{name} {percent(found[found_in].mean())}"
        for name, found_in in (("question only", "question_only"), ("control", "control"))
    ]
    top = rates.isel({across: int(rates.fillna(-1).argmax(across))})
    gist = f"Most is read at {top[across].item()}, {percent(top)} %; {' %, '.join(beside)} %"
    return f"{gist} on average. Percent: {'; '.join(parts)}."


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
    Figure(
        name="lens_by_step",
        plot="lens_by_step",
        title="What a lens reads in which thought",
        caption="How often the vector that was fed is nearest to the embedding of a step's result, "
        "less how often other problems' vectors are. That it can be read does not mean that the "
        "model uses it.",
        words=_by_step,
        draw=lambda results, **where: plots.lens_by_step(
            results.study.lens_of_fed.sel(answered="all"), **where
        ),
        scope="readouts",
        targets=frozenset({"page of one", "page of several", "files", "gallery"}),
    ),
    Figure(
        name="lens_by_layer",
        plot="lens_by_layer",
        title="What a lens reads at which layer",
        caption="How often the result is the first word at each layer and place, less how often it "
        "is in other problems' states.",
        words=_by_layer,
        draw=lambda results, **where: plots.lens_by_layer(_second(results.study), **where),
        scope="readouts",
        targets=frozenset({"page of one", "page of several", "files", "gallery"}),
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
