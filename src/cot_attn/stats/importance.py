"""How often the answer breaks when a thought is corrupted."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float

from cot_attn.stats._arguments import (
    require_array,
    require_confidence,
    require_resamples,
)
from cot_attn.stats._checks.sample_size import with_warnings
from cot_attn.stats._inference.intervals import wilson
from cot_attn.stats._inference.resampling import (
    bootstrap_weights,
    canonical_order,
    how_often_largest,
)
from cot_attn.stats._labelled.groups import for_each_group
from cot_attn.stats._labelled.labels import as_array, as_effects, problem_coordinate
from cot_attn.stats._labelled.layout import other_dims
from cot_attn.stats.averages import mean_over_problems


def importance(
    effects: xr.Dataset,
    outcome: str = "failed",
    by: str | Sequence[str] | None = None,
    *,
    confidence: float = 0.95,
) -> xr.Dataset:
    """Average an outcome of corrupting each thought, over the problems answered right before.

    Parameters
    ----------
    effects
        (problem, thought[, corruption, ...]) as `TokenAblator.run` gives it. Problems whose
        outcome is missing (for `failed`: those answered wrong before) are left out.
    outcome
        Which variable of `effects`.
    by
        What to keep apart: dimensions ("corruption", "site") or coordinates of the problems
        ("difficulty"). All other dimensions but `thought` are averaged, so that by default the
        importance is the mean over corruptions.

    Returns
    -------
    xr.Dataset
        `estimate`, `low`, `high` and `n_problems` over (by..., thought); of `failed` also
        `n_failures`, the number of problems that failed at least once. The attribute `warnings`
        says what the sample is too small for. Rates have Wilson's
        interval. Means, of several corruptions or of an outcome that is no rate, have the interval
        of a mean over problems; a mean rate that is the same in all problems has Wilson's.

    Examples
    --------
    >>> effects = xr.Dataset({"failed": (("problem", "thought"), [[1.0, 0.0], [1.0, 1.0]])},
    ...                      coords={"problem": ["a", "b"], "thought": [0, 1]})
    >>> importance(effects).estimate.values
    array([1. , 0.5])
    """
    values, kept, groups = _outcome_by_problem(effects, outcome, by)
    if groups is None:
        result = _mean_or_rate(values, outcome, confidence)
    else:
        result = for_each_group(
            groups, lambda mask: _mean_or_rate(values.isel(problem=mask), outcome, confidence)
        )
    is_rate = outcome == "failed" and bool(_binary(values.variable).all())
    method = "rate, Wilson's interval" if is_rate else "mean over problems, skewness-corrected t"
    ordered = result.transpose(*kept, "thought").assign_attrs(
        method=method, outcome=outcome, confidence=confidence, by=kept
    )
    return with_warnings(ordered)


def worst_thought(
    effects: xr.Dataset,
    outcome: str = "failed",
    by: str | Sequence[str] | None = None,
    *,
    confidence: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> xr.Dataset:
    """Say which thought matters most, how much, and how sure that is.

    Parameters
    ----------
    effects, outcome, by, confidence
        As for `importance`.

    Returns
    -------
    xr.Dataset
        Over `by`: `thought`, its `estimate`, `low` and `high` (wide enough for having been picked
        as the largest: Bonferroni over the thoughts), `n_problems`, and `certainty`: in what part
        of bootstrap resamples of the problems the same thought comes out worst.

    Examples
    --------
    >>> failed = [[1.0, 0.0], [1.0, 1.0], [1.0, 0.0]]
    >>> effects = xr.Dataset({"failed": (("problem", "thought"), failed)},
    ...                      coords={"problem": list("abc"), "thought": [0, 1]})
    >>> worst = worst_thought(effects)
    >>> int(worst.thought), float(worst.estimate)
    (0, 1.0)
    """
    require_resamples(n_resamples)
    require_confidence(confidence)
    values, kept, groups = _outcome_by_problem(effects, outcome, by)
    n_thoughts = values.sizes["thought"]
    table = importance(effects, outcome, by, confidence=1 - (1 - confidence) / n_thoughts)
    undefined = table.estimate.isnull().all("thought")
    picked = table.estimate.fillna(-np.inf).argmax("thought")
    worst = table.isel(thought=picked).rename(thought="worst").reset_coords("worst")
    worst = worst.rename(worst="thought")

    def certainty(outcomes: xr.DataArray) -> xr.Dataset:
        often = xr.apply_ufunc(
            _certainty,
            outcomes,
            input_core_dims=[["problem", "thought"]],
            vectorize=True,
            kwargs={"n_resamples": n_resamples, "seed": seed},
        )
        return xr.Dataset({"certainty": often})

    if groups is None:
        certain = certainty(values)
    else:
        certain = for_each_group(groups, lambda mask: certainty(values.isel(problem=mask)))
    worst["certainty"] = certain["certainty"]
    worst["thought"] = worst["thought"].where(~undefined, -1)
    return worst.transpose(*kept).assign_attrs(table.attrs, confidence=confidence, seed=seed)


def _outcome_by_problem(
    effects: object, outcome: str, by: str | Sequence[str] | None
) -> tuple[xr.DataArray, list[str], xr.DataArray | None]:
    """Average what is not kept apart; find the coordinate by which problems are grouped."""
    effects = as_effects(effects)
    values = as_array(effects, outcome)
    require_array(values, ("problem", "thought"), "Importance", name=outcome)
    if values.sizes["problem"] == 0:
        raise ValueError("The effects hold no problem. Give those of at least one.")
    kept = [by] if isinstance(by, str) else list(by or [])
    groups = [name for name in kept if name not in values.dims]
    if len(groups) > 1:
        raise ValueError(f"Problems can be grouped by one coordinate at a time, not by {groups}.")
    group = problem_coordinate(groups[0], values, effects) if groups else None
    averaged = other_dims(values, "problem", "thought", *kept)
    # A problem counts only where it has an outcome for everything that is averaged.
    return values.mean(averaged, skipna=False), kept, group


def _mean_or_rate(values: xr.DataArray, outcome: str, confidence: float) -> xr.Dataset:
    result = mean_over_problems(values, confidence=confidence)
    if outcome != "failed":
        return result
    n = result["n_problems"]
    low, high = wilson((result["estimate"] * n).values, n.values, confidence)
    each = values.variable
    keep = ~_binary(each).all("problem") & (each.max("problem") > each.min("problem"))
    bounds = {}
    for name, bound in (("low", low), ("high", high)):
        mean, rate = result[name].variable, xr.Variable(n.dims, bound)
        bounds[name] = mean.where(keep, rate).clip(0, 1)  # type: ignore[no-untyped-call]
    return result.assign({**bounds, "n_failures": (each > 0).sum("problem")})


def _certainty(
    values: Float[np.ndarray, "problem thought"],
    n_resamples: int,
    seed: int,
) -> float:
    present = values[np.isfinite(values).all(axis=1)]
    if len(present) == 0:
        return float("nan")
    present = present[canonical_order(present)]
    picked = present.mean(axis=0, keepdims=True).argmax(axis=1)
    means = bootstrap_weights(len(present), n_resamples, seed) @ present
    return float(how_often_largest(means[:, :, None], picked)[0])


def _binary(values: xr.Variable) -> xr.Variable:
    """Say where there is a failure, a success or nothing at all."""
    binary: xr.Variable = (values == 0) | (values == 1) | values.isnull()
    return binary
