"""Does attention track importance? Four questions, each with its own correlation."""

from dataclasses import asdict

import numpy as np
import xarray as xr
from jaxtyping import Float

from cot_attn.stats._arguments import (
    require_array,
    require_choice,
    require_confidence,
    require_resamples,
)
from cot_attn.stats._checks.sample_size import enough_resamples, with_warnings
from cot_attn.stats._inference.correlation import CorrelationSpec, correlate_complete
from cot_attn.stats._inference.estimands import ESTIMANDS, METHODS, Estimand, Method
from cot_attn.stats._inference.multiplicity import benjamini_hochberg
from cot_attn.stats._inference.resampling import canonical_order
from cot_attn.stats._labelled.groups import Mask, for_each_group
from cot_attn.stats._labelled.labels import Join, join_by_label, problem_coordinate
from cot_attn.stats._labelled.layout import (
    Values,
    as_values,
    complete_problems,
    other_dims,
    unfold,
)
from cot_attn.stats._labelled.thoughts import tell_of_shorter

Covariate = Float[np.ndarray, " problem"]

POOLED_WARNING = (
    "A pooled correlation mixes differences between problems, differences between thoughts and "
    "what happens within a problem. It answers none of the three; prefer estimand='within_problem'."
)
FROM_RESULTS = (
    "From a recording: stats.share(attention); from effects: effects.failed.mean('corruption')."
)
TESTS: dict[Estimand, str] = {
    "pooled": "permutation of problems and of thoughts",
    "between_thoughts": "permutation of the thoughts' labels",
    "within_problem": "permutation of problems, studentised",
    "within_thought": "permutation of problems, studentised",
}


def correlate(
    attention: xr.DataArray,
    failure: xr.DataArray,
    estimand: Estimand = "within_problem",
    method: Method = "pearson",
    *,
    by: str | None = None,
    partial: str | None = None,
    join: Join = "exact",
    confidence: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> xr.Dataset:
    """Correlate the attention that thoughts get with what happens when they are corrupted.

    Parameters
    ----------
    attention
        (problem, thought[, layer, head, ...]), from `share` or `sequence_attention`. Every
        combination of the further dimensions gets its own correlation: average over heads first
        for one figure a layer.
    failure
        (problem, thought), for instance `effects.failed.mean("corruption")`. Problems with a
        missing value in either array are left out.
    estimand
        Which question is asked.

        - "within_problem" (default): in a problem, does the thought that gets more attention than
          usual matter more than usual? Both arrays are double-centred: what is common to a problem
          and what is common to a thought is taken out.
        - "within_thought": for a given thought, is it more important in the problems in which it
          gets more attention? One figure a thought.
        - "between_thoughts": do thoughts that get more attention on average matter more on average?
        - "pooled": all points in one bag. The result carries a warning.
    method
        "pearson", or "spearman": ranks are taken after the centring that the estimand asks for
        (within_problem: of the double-centred values, all together; within_thought: of each
        thought's values; between_thoughts: of the means; pooled: of all values).
    by
        A coordinate of the problems, such as "difficulty": each of its values is looked at alone.
    partial
        A numeric coordinate of the problems, such as "question_length", whose linear influence on
        each thought's values is taken out of both arrays first.
    join
        "exact" raises where the problems differ; "inner" keeps those that both have.
    n_resamples
        How many random orders a permutation test draws (between_thoughts lists all orders of up to
        seven thoughts).
    seed
        Of the random orders. Intervals hold no randomness.

    Returns
    -------
    xr.Dataset
        `estimate`, `low`, `high`, `p`, `q` (Benjamini-Hochberg over everything in this result),
        `n_problems`, `n_points`, `n_failures` (points at which `failure` is above 0) and `reason`:
        why a figure is NaN, else "". The attribute `warnings` says what the sample is too small
        for. The dimensions are those of `attention` without `problem`, and without `thought` but
        for within_thought; with `by`, the coordinate comes first. Intervals: leave-one-problem-out
        on Fisher's z.

    Raises
    ------
    ValueError
        If labels differ or are missing, or an argument is not one of those named above.
    KeyError
        If there is no such coordinate of the problems.

    See Also
    --------
    share, sequence_attention, importance

    Examples
    --------
    >>> attention = xr.DataArray(
    ...     [[0.1, 0.9], [0.8, 0.2], [0.4, 0.6], [0.7, 0.3], [0.2, 0.8]],
    ...     {"problem": list("abcde"), "thought": [0, 1]},
    ...     ("problem", "thought"),
    ... )
    >>> result = correlate(attention, 2 * attention + 1)
    >>> float(result.estimate), int(result.n_problems)
    (1.0, 5)
    """
    require_choice("estimand", estimand, ESTIMANDS)
    require_choice("method", method, METHODS)
    require_resamples(n_resamples)
    require_confidence(confidence)
    for array, name in ((attention, "attention"), (failure, "failure")):
        what = f"Correlating {name}"
        require_array(array, ("problem", "thought"), what, name=name, advice=FROM_RESULTS)
    extra = other_dims(failure, "problem", "thought")
    if extra:
        raise ValueError(
            f"failure has the further dimensions {extra}; it may have problem and thought only. "
            f"Select one label of each, or average: failure.mean({extra!r})."
        )
    if estimand == "between_thoughts" and partial is not None:
        raise ValueError(
            "between_thoughts looks at means over problems, from which no coordinate of the "
            "problems can be taken out. Leave partial out, or choose another estimand."
        )
    problems = set(attention["problem"].values) | set(failure["problem"].values)
    attention, failure = join_by_label(attention, failure, join=join)
    tell_of_shorter("A correlation", attention, failure)
    covariate = None
    if partial is not None:
        covariate = _as_numbers(problem_coordinate(partial, attention, failure))
    spec = CorrelationSpec(estimand, method, confidence, n_resamples, seed)

    def correlate_group(mask: Mask) -> xr.Dataset:
        of_group = None if covariate is None else covariate[mask]
        return _correlate_group(
            attention.isel(problem=mask), failure.isel(problem=mask), of_group, spec
        )

    if by is None:
        result = correlate_group(np.ones(failure.sizes["problem"], dtype=bool))
    else:
        result = for_each_group(problem_coordinate(by, attention, failure), correlate_group)
    result["q"] = result["p"].copy(data=benjamini_hochberg(result["p"].values))
    order = ["estimate", "low", "high", "p", "q", "n_problems", "n_points"]
    order += ["n_failures", "reason"]
    result = result[order].assign_attrs(
        asdict(spec),
        interval="leave one problem out, on Fisher's z",
        test=TESTS[estimand],
        n_tests=int(np.isfinite(result["p"]).sum()),
        join=join,
        n_left_out_by_join=len(problems) - attention.sizes["problem"],
    )
    if partial is not None:
        result.attrs["partial"] = partial
    if estimand == "pooled":
        result.attrs["warning"] = POOLED_WARNING
    return with_warnings(result, enough_resamples(result))


def _correlate_group(
    attention: xr.DataArray,
    failure: xr.DataArray,
    covariate: Covariate | None,
    spec: CorrelationSpec,
) -> xr.Dataset:
    """Correlate over one set of problems, in the same order in both arrays."""
    a, f = as_values(attention), as_values(failure)
    if covariate is None:
        covariate = np.zeros(len(f))

    complete = complete_problems(a, f) & np.isfinite(covariate)
    a, f, covariate = a[complete], f[complete], covariate[complete]
    in_order = canonical_order(f, a)
    a, f, covariate = a[in_order], f[in_order], covariate[in_order]
    found = correlate_complete(_without(covariate, a), _without(covariate, f), spec)

    per_thought = spec.estimand == "within_thought"
    n_failures = (f > 0).sum(axis=0) if per_thought else (f > 0).sum()
    figures = {
        "estimate": found.estimate,
        "low": found.low,
        "high": found.high,
        "p": found.p,
        "n_problems": np.full(found.p.shape, len(f)),
        "n_points": np.full(found.p.shape, len(f) if per_thought else len(f) * f.shape[1]),
        "n_failures": np.broadcast_to(n_failures, found.p.shape),
        "reason": found.reason,
    }
    if not per_thought:
        figures = {name: array[0] for name, array in figures.items()}
    leading = ["thought"] if per_thought else []
    return unfold(figures, leading, other_dims(attention, "problem", "thought"), attention)


def _without(covariate: Covariate, values: Values) -> Values:
    """Take a covariate's linear influence out of each thought's values; keep their means."""
    if len(covariate) == 0 or np.ptp(covariate) == 0:  # what is the same everywhere does nothing
        return values
    centred = covariate - covariate.mean()
    total = (centred**2).sum()
    slopes = np.tensordot(centred, values, axes=1) / total
    cleaned: Values = values - centred[:, None, None] * slopes
    return cleaned


def _as_numbers(coordinate: xr.DataArray) -> Covariate:
    try:
        return np.asarray(coordinate.values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"The coordinate {coordinate.name!r} is not numeric, so its influence cannot be taken "
            "out. Use by= to look at each of its values alone."
        ) from error
