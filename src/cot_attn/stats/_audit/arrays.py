"""Checks for arrays from elsewhere: attention and failure by problem and thought."""

from collections.abc import Iterator

import numpy as np
import xarray as xr
from scipy.stats import pearsonr

from cot_attn.stats._audit.tables import layers_differ, textbook_p
from cot_attn.stats._checks.check import Check
from cot_attn.stats._labelled.labels import join_by_label
from cot_attn.stats._labelled.layout import as_values, complete_problems, other_dims
from cot_attn.stats.correlate import correlate

FEWEST_THOUGHTS = 4  # three points often lie on a line by chance
UNEVEN = 0.1  # how far off the line a reciprocal may be, as a part of the step
NEARLY_ALL = 0.9


def array_checks(
    attention: xr.DataArray, failure: xr.DataArray, reference: xr.DataArray | None
) -> Iterator[Check]:
    """Run every check that applies to arrays from elsewhere."""
    yield samples_match(attention, failure)
    try:
        attention, failure = join_by_label(attention, failure, join="inner")
    except ValueError:
        return  # nothing in common, or no labels: said already
    if "layer" in attention.dims:
        means = attention.mean(other_dims(attention, "thought", "layer"))
        labels = means["layer"].values.tolist()
        by_layer = means.transpose("layer", "thought").values.tolist()
        yield layers_differ(dict(zip(labels, by_layer, strict=True)))
    if attention.sizes["thought"] >= FEWEST_THOUGHTS:
        yield attention_does_not_step_evenly(attention)
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


def attention_does_not_step_evenly(attention: xr.DataArray) -> Check:
    """Look whether each problem's attention, or share, is the reciprocal of a position.

    One thought later the row is one longer: within a problem the reciprocals of row means, and of
    their shares, lie on a rising line. Those of attention do not, problem after problem.
    """
    name = "Attention does not step evenly"
    values = as_values(attention)
    usable = complete_problems(values) & (values > 0).all(axis=(1, 2))
    if not usable.any():
        return Check(name, "warn", "there is no problem in which all thoughts get attention.")
    reciprocals = 1 / values[usable]
    index = np.arange(reciprocals.shape[1])[None, :, None] - (reciprocals.shape[1] - 1) / 2
    slope = (index * reciprocals).sum(axis=1) / (index**2).sum()
    line = reciprocals.mean(axis=1, keepdims=True) + index * slope[:, None]
    evenly = np.abs(reciprocals - line).max(axis=1) <= UNEVEN * slope
    fraction = float(evenly.mean(axis=0).max())
    if fraction < NEARLY_ALL:
        return Check(name, "pass", f"in {fraction:.0%} of the problems at most the reciprocals do.")
    return Check(
        name,
        "fail",
        f"in {fraction:.0%} of the problems the reciprocals of attention step evenly from thought "
        "to thought: these are means of softmax rows, 1/length, and say nothing of attention.",
    )


def attention_does_not_follow_length(attention: xr.DataArray) -> Check:
    """Look whether each problem's attention is 1 / (its length + the thought's position)."""
    name = "Attention does not follow length"
    values = as_values(attention).mean(axis=2)
    length = attention["question_length"].values.astype(float)
    usable = np.isfinite(values).all(axis=1) & np.isfinite(length) & (values > 0).all(axis=1)
    values, length = values[usable], length[usable]
    if len(length) < 4 or np.ptp(length) == 0:
        return Check(name, "warn", "there are too few problems, or lengths, to see it.")
    if (np.ptp(values, axis=0) == 0).any():
        return Check(name, "pass", "in some thought it is the same whatever the length.")
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
    # What only one of them has, heads say, is averaged.
    one = attention.mean(other_dims(attention, *reference.dims))
    other = reference.mean(other_dims(reference, *attention.dims))
    try:
        ours, theirs = join_by_label(one, other, join="inner", names=("attention", "reference"))
    except ValueError as error:
        return Check(name, "warn", f"the two cannot be laid over each other. {error}")
    a, b = as_values(ours), as_values(theirs.transpose(*ours.dims))
    complete = complete_problems(a, b)
    a, b = a[complete], b[complete]
    if len(a) == 0 or a.shape[1] < 3:
        return Check(name, "warn", "there are too few problems, or thoughts, to see it.")
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
    averaged = attention.mean(other_dims(attention, "problem", "thought"))
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
