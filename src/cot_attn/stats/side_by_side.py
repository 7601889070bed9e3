"""Models side by side: correlations compared, and layers brought to one scale of depth.

Profiles and concentrations need nothing of their own: `contrasts(shares, between="model")`.
"""

from itertools import combinations

import numpy as np
import xarray as xr

from cot_attn.stats._arguments import (
    require_array,
    require_choice,
    require_confidence,
    require_several,
)
from cot_attn.stats._checks.sample_size import with_warnings
from cot_attn.stats._inference.correlation import (
    FEWEST_PROBLEMS,
    NOTHING_VARIES,
    REASON_DTYPE,
    doubts,
)
from cot_attn.stats._inference.estimands import (
    ESTIMANDS,
    METHODS,
    Correlations,
    Estimand,
    Method,
    correlations,
    leave_one_out_moments,
    observed_moments,
    prepare,
    varies,
)
from cot_attn.stats._inference.intervals import leave_one_out_interval
from cot_attn.stats._labelled.labels import join_by_label
from cot_attn.stats._labelled.layout import (
    Values,
    as_values,
    complete_problems,
    other_dims,
    unfold,
)
from cot_attn.stats._labelled.thoughts import tell_of_shorter


def correlation_differences(
    attention: xr.DataArray,
    failure: xr.DataArray,
    estimand: Estimand = "within_problem",
    method: Method = "pearson",
    *,
    between: str = "model",
    confidence: float = 0.95,
) -> xr.Dataset:
    """Compare the models' correlations of attention with failure, on the problems that both have.

    Parameters
    ----------
    attention
        (model, problem, thought[, depth, ...]); see `at_relative_depth` for models with different
        numbers of layers.
    failure
        (model, problem, thought). A problem counts for a pair of models where it is complete in
        both: for `failed`, where both models were right at first.
    estimand, method
        As for `correlate`.
    between
        The dimension whose labels are compared.

    Returns
    -------
    xr.Dataset
        Over (pair, ...), with coordinates `first` and `second`: `estimate` (the second model's
        correlation minus the first's), `low`, `high` (both models leave out the same problem),
        `n_problems`, and `reason` where a figure is NaN.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> labels = {"model": ["a", "b"], "problem": range(30), "thought": range(4)}
    >>> attention = xr.DataArray(rng.random((2, 30, 4)), labels, tuple(labels))
    >>> sign = xr.DataArray([1, -1], {"model": ["a", "b"]}, "model")
    >>> result = correlation_differences(attention, sign * attention)  # r = 1 and r = -1
    >>> float(result.estimate[0])
    -2.0
    """
    require_choice("estimand", estimand, ESTIMANDS)
    require_choice("method", method, METHODS)
    require_confidence(confidence)
    for array, name in ((attention, "attention"), (failure, "failure")):
        what = f"Comparing correlations with {name}"
        require_array(array, (between, "problem", "thought"), what, name=name)
    attention, failure = join_by_label(attention, failure)
    require_several(attention, between, "nothing to compare")
    labels = attention[between].values
    differences = [
        _difference(
            *(array.sel({between: label}) for label in pair for array in (attention, failure)),
            estimand=estimand,
            method=method,
            confidence=confidence,
        )
        for pair in combinations(labels, 2)
    ]
    result: xr.Dataset = xr.concat(differences, dim="pair")
    first, second = zip(*combinations(labels, 2), strict=True)
    labelled = result.assign_coords(
        first=("pair", list(first)), second=("pair", list(second))
    ).assign_attrs(
        between=between,
        estimand=estimand,
        method=method,
        confidence=confidence,
        interval="leave one problem out",
    )
    return with_warnings(labelled)


def _difference(
    first_attention: xr.DataArray,
    first_failure: xr.DataArray,
    second_attention: xr.DataArray,
    second_failure: xr.DataArray,
    *,
    estimand: Estimand,
    method: Method,
    confidence: float,
) -> xr.Dataset:
    arrays = first_attention, first_failure, second_attention, second_failure
    tell_of_shorter("A difference of correlations", *arrays)
    values = [as_values(array) for array in arrays]
    complete = complete_problems(*values)
    a1, f1, a2, f2 = (array[complete] for array in values)
    n_problems = int(complete.sum())
    per_thought = estimand == "within_thought"
    n_rows = first_failure.sizes["thought"] if per_thought else 1
    estimate, low, high = (np.full((n_rows, a1.shape[2]), np.nan) for _ in range(3))
    reason = np.full(estimate.shape, "", dtype=REASON_DTYPE)
    if n_problems < FEWEST_PROBLEMS:
        reason[:] = f"only {n_problems} problems are complete in both"
    else:
        one, one_left_out = _with_left_out(a1, f1, estimand, method)
        two, two_left_out = _with_left_out(a2, f2, estimand, method)
        estimate = two - one
        low, high = leave_one_out_interval(estimate, two_left_out - one_left_out, confidence)
        reason[~np.isfinite(low)] = NOTHING_VARIES
        for a, f in ((a1, f1), (a2, f2)):
            for doubtful, why in doubts(a, f, estimand, method):
                here = np.broadcast_to(doubtful, reason.shape)
                low, high = (np.where(here, np.nan, bound) for bound in (low, high))
                reason[here] = f"no interval: {why}"
        varied = np.all(
            [np.broadcast_to(varies(x, estimand), estimate.shape) for x in (a1, f1, a2, f2)], axis=0
        )
        estimate, low, high = (np.where(varied, x, np.nan) for x in (estimate, low, high))
        reason[~varied] = "attention or failure does not vary in one of the two"
    figures = {
        "estimate": estimate,
        "low": np.maximum(low, -2),
        "high": np.minimum(high, 2),
        "n_problems": np.full(estimate.shape, n_problems),
        "reason": reason,
    }
    if not per_thought:
        figures = {name: array[0] for name, array in figures.items()}
    leading = ["thought"] if per_thought else []
    folded = other_dims(first_attention, "problem", "thought")
    return unfold(figures, leading, folded, first_attention)


def _with_left_out(
    attention: Values, failure: Values, estimand: Estimand, method: Method
) -> tuple[np.ndarray, Correlations]:
    a, f = prepare(attention, estimand, method), prepare(failure, estimand, method)
    observed = correlations(observed_moments(a, f), estimand, method)[0]
    return observed, correlations(leave_one_out_moments(a, f), estimand, method)


def at_relative_depth(values: xr.DataArray, n_depths: int = 11) -> xr.DataArray:
    """Put layers on a scale from 0 (the first) to 1 (the last), so that models can be compared.

    Parameters
    ----------
    values
        With a `layer` dimension, whose last label is taken to be the model's last layer. Layers
        that hold nothing but NaN (another model's) are left out.
    n_depths
        How many equally spaced depths to read off, by linear interpolation between layers.

    Returns
    -------
    xr.DataArray
        `depth` in place of `layer`; NaN before the first recorded layer.

    Examples
    --------
    >>> values = xr.DataArray([0.0, 1.0, 4.0], dims="layer", coords={"layer": [0, 1, 2]})
    >>> at_relative_depth(values, 5).values
    array([0. , 0.5, 1. , 2.5, 4. ])
    """
    require_array(values, ("layer",), "Relative depth")
    if n_depths < 2:
        raise ValueError(f"n_depths={n_depths}: at least the first and the last layer are needed.")
    if "model" in values.dims:
        each = [
            at_relative_depth(values.sel(model=name), n_depths) for name in values["model"].values
        ]
        result: xr.DataArray = xr.concat(each, dim=values["model"])
        return result.transpose(*("depth" if dim == "layer" else dim for dim in values.dims))
    present = values.dropna("layer", how="all").sortby("layer")
    if present.sizes["layer"] < 2:
        raise ValueError("Relative depth needs two recorded layers or more.")
    depth = present["layer"].values / present["layer"].values[-1]
    scaled = present.rename(layer="depth").assign_coords(depth=depth)
    return scaled.interp(depth=np.linspace(0, 1, n_depths))
