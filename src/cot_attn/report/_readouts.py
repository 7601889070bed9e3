"""The figures of lenses and probes, as entries of the catalogue."""

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from cot_attn import plots
from cot_attn.report._numbers import percent
from cot_attn.report.figure import Figure, Results
from cot_attn.study._lens import has_probe, late_target
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
    return study.lens.sel(answered="all", target=late_target(study.lens))


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
    what = f" Asked for {found.attrs['label']}." if "label" in found.attrs else ""
    return f"{gist} on average.{what} Percent: {'; '.join(parts)}."


def _entry(
    plot: str,
    title: str,
    caption: str,
    words: Callable[[Results], str],
    of_study: Callable[[Study], xr.Dataset | None],
    *,
    wide: bool = False,
) -> Figure:
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
        targets=frozenset({"page of one", "page of several", "files", "gallery"}),
        wide=wide,
        of_study=of_study,
    )


def _words_of(study: Study) -> xr.Dataset | None:
    return study.top_words if _has_probe(study) else None


def _probe_of(study: Study) -> xr.Dataset | None:
    """Return what a probe read at the last layer, if it could learn anything there."""
    if not _has_probe(study):
        return None
    last = study.probe.isel(layer=-1)
    return last if last[last.attrs["measure"]].notnull().any() else None


def _has_probe(study: Study) -> bool:
    return study.readouts is not None and has_probe(study.readouts)


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
        "The likeliest tokens at each layer and place, of a problem with the most steps. What at "
        "least half of the other problems have there is grey: the lens says it whatever was asked. "
        "One problem says nothing of others.",
        _words,
        _words_of,
        wide=True,
    ),
    _entry(
        "probe_accuracy",
        "What a probe reads",
        "At the last layer, of problems that it has not seen, beside a control task (labels by a "
        "hash of the question) and the best that is read before the first thought. What is read "
        "need not be used.",
        _probe,
        _probe_of,
    ),
)
