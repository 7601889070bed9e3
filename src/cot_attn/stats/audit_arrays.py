"""Checks for arrays from elsewhere: attention and failure by problem and thought."""

from collections.abc import Iterator

import numpy as np
import xarray as xr
from scipy.stats import pearsonr

from cot_attn.stats.audit import layers_differ, textbook_p
from cot_attn.stats.check import Check
from cot_attn.stats.correlate import correlate
from cot_attn.stats.labels import as_values, join_by_label


def audit_arrays(
    attention: xr.DataArray, failure: xr.DataArray, reference: xr.DataArray | None = None
) -> tuple[Check, ...]:
    """Look for known mistakes in attention and failure by problem and thought.

    Parameters
    ----------
    attention
        (problem, thought[, layer]), fractions of the sequence or of the thoughts. With a coordinate
        `question_length`, attention is compared with 1/length problem by problem.
    failure
        (problem, thought).
    reference
        Attention of the same thoughts recorded in a way that is trusted.
    """
    return tuple(_audit_arrays(attention, failure, reference))


def _audit_arrays(
    attention: xr.DataArray, failure: xr.DataArray, reference: xr.DataArray | None
) -> Iterator[Check]:
    yield samples_match(attention, failure)
    try:
        attention, failure = join_by_label(attention, failure, join="inner")
    except ValueError:
        return  # nothing in common, or no labels: said already
    if "layer" in attention.dims:
        means = attention.mean([d for d in attention.dims if d not in ("thought", "layer")])
        yield layers_differ(
            {int(m["layer"]): m.values.tolist() for m in means.transpose("layer", ...)}
        )
    if "question_length" in attention.coords:
        yield attention_does_not_follow_length(attention)
    if reference is not None:
        yield roles_are_not_shifted(attention, reference)
    yield pooled_p_recomputed(attention, failure)


def samples_match(attention: xr.DataArray, failure: xr.DataArray) -> Check:
    """Look whether both lists hold the same problems in the same order."""
    name = "The samples match"
    try:
        join_by_label(attention, failure)
    except ValueError as error:
        return Check(name, "fail", str(error))
    if list(attention["problem"].values) != list(failure["problem"].values):
        return Check(
            name,
            "warn",
            "the problems are the same, in another order: joined by place in the list and not by "
            "label, different problems would be compared.",
        )
    return Check(name, "pass", "the same problems, in the same order.")


def attention_does_not_follow_length(attention: xr.DataArray) -> Check:
    """Look whether each problem's attention is 1 / (its length + the thought's position)."""
    name = "Attention does not follow length"
    values = as_values(attention).mean(axis=2)
    length = attention["question_length"].values.astype(float)
    usable = np.isfinite(values).all(axis=1) & np.isfinite(length) & (values > 0).all(axis=1)
    values, length = values[usable], length[usable]
    if len(length) < 4 or np.ptp(length) == 0:
        return Check(name, "warn", "there are too few problems, or lengths, to see it.")
    related = [pearsonr(1 / values[:, t], length).statistic for t in range(values.shape[1])]
    least = float(np.min(related))
    if least > 0.99:
        return Check(
            name,
            "fail",
            f"in every thought the reciprocal of attention is the question's length (r > "
            f"{least:.3f}): these are means of softmax rows, and say nothing of attention.",
        )
    return Check(name, "pass", f"its reciprocal's correlation with length is {least:.2f} at least.")


def roles_are_not_shifted(attention: xr.DataArray, reference: xr.DataArray) -> Check:
    """Look whether thought i here is thought i+1 (or i-1) of a reference."""
    name = "Roles are not shifted"
    ours, theirs = join_by_label(attention, reference, names=("attention", "reference"))
    a, b = as_values(ours), as_values(theirs)
    complete = np.isfinite(a).all(axis=(1, 2)) & np.isfinite(b).all(axis=(1, 2))
    a, b = a[complete], b[complete]
    if a.shape != b.shape or len(a) == 0 or a.shape[1] < 3:
        return Check(name, "warn", "the two cannot be laid over each other.")
    overlaid = {0: (a, b), 1: (a[:, :-1], b[:, 1:]), -1: (a[:, 1:], b[:, :-1])}
    distance = {shift: float(np.abs(x - y).mean()) for shift, (x, y) in overlaid.items()}
    best = min(distance, key=lambda shift: (distance[shift], abs(shift)))
    told = ", ".join(f"{shift:+d}: {value:.3g}" for shift, value in distance.items())
    if best != 0 and distance[best] < 0.5 * distance[0]:
        return Check(
            name,
            "fail",
            f"thought i here is thought i{best:+d} of the reference. Mean distance by shift: "
            f"{told}.",
        )
    return Check(name, "pass", f"mean distance by shift: {told}.")


def pooled_p_recomputed(attention: xr.DataArray, failure: xr.DataArray) -> Check:
    """Set the textbook p of a pooled correlation beside tests that know what a problem is."""
    name = "The pooled p, recomputed"
    rest = [dim for dim in attention.dims if dim not in ("problem", "thought")]
    averaged = attention.mean(rest)
    pooled = correlate(averaged, failure, "pooled")
    within = correlate(averaged, failure, "within_problem")
    r = float(pooled.estimate)
    if not np.isfinite(r):
        return Check(name, "warn", f"there is none: {pooled.reason.item()}.")
    textbook = textbook_p(r, int(pooled.n_points))
    return Check(
        name,
        "fail" if textbook < 0.05 <= float(pooled.p) else "pass",
        f"pooled r = {r:.3f}: textbook p = {textbook:.2g}, by permutation of problems and thoughts "
        f"{float(pooled.p):.2g}. Within problems r = {float(within.estimate):.3f}, "
        f"p = {float(within.p):.2g}.",
    )
