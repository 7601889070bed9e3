"""Estimate, interval and p value of a correlation, or the reason why there is none."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from einops import rearrange
from jaxtyping import Bool, Float

from cot_attn.stats._inference.estimands import (
    Estimand,
    Method,
    correlations,
    leave_one_out_moments,
    observed_moments,
    prepare,
    varies,
)
from cot_attn.stats._inference.intervals import leave_one_out_interval
from cot_attn.stats._inference.permutation import p_values
from cot_attn.stats._labelled.layout import Values

SERIES_AT_ONCE = 256  # layers × heads whose leave-one-out means are held in memory at a time
FEWEST_PROBLEMS = 4
RELIABLE = 0.9  # a profile in which noise makes up a tenth of the spread
MOSTLY_TIED = 0.5
REASON_DTYPE = "<U160"
NOTHING_VARIES = "no interval: without one of the problems nothing varies"

Figures = Float[np.ndarray, "thought_or_one series"]


@dataclass(frozen=True)
class CorrelationSpec:
    """Which correlation of two arrays, and with what interval and test."""

    estimand: Estimand
    method: Method
    confidence: float
    n_resamples: int
    seed: int


@dataclass(frozen=True)
class CorrelationResult:
    """Estimate, interval and p, NaN where `reason` says why; each (thought or 1, series)."""

    estimate: Figures
    low: Figures
    high: Figures
    p: Figures
    reason: np.ndarray


def correlate_complete(
    attention: Values, failure: Values, spec: CorrelationSpec
) -> CorrelationResult:
    """Correlate arrays without missing values: (problem, thought, series) and (..., 1)."""
    n_problems, n_thoughts, n_series = attention.shape
    n_rows = n_thoughts if spec.estimand == "within_thought" else 1
    nothing = np.full((n_rows, n_series), np.nan)
    refusal = _why_not(n_problems, n_thoughts, spec.estimand)
    if refusal:
        no_reasons = np.full(nothing.shape, refusal, dtype=REASON_DTYPE)
        return CorrelationResult(nothing, nothing, nothing, nothing, no_reasons)
    blocks = [
        _correlate_block(attention[:, :, start : start + SERIES_AT_ONCE], failure, spec)
        for start in range(0, n_series, SERIES_AT_ONCE)
    ]
    names = ("estimate", "low", "high", "p", "reason")
    if not blocks:
        return CorrelationResult(
            nothing, nothing, nothing, nothing, np.full((n_rows, 0), "", REASON_DTYPE)
        )
    return CorrelationResult(
        *(np.concatenate([getattr(b, name) for b in blocks], axis=1) for name in names)
    )


def _why_not(n_problems: int, n_thoughts: int, estimand: Estimand) -> str:
    if n_problems < FEWEST_PROBLEMS:
        return f"only {n_problems} complete problems; at least {FEWEST_PROBLEMS} are needed"
    fewest_thoughts = {"within_problem": 2, "between_thoughts": 3}.get(estimand, 1)
    if n_thoughts < fewest_thoughts:
        return f"only {n_thoughts} thoughts; at least {fewest_thoughts} are needed"
    return ""


def _correlate_block(
    attention: Values, failure: Values, spec: CorrelationSpec
) -> CorrelationResult:
    estimand, method = spec.estimand, spec.method
    a, f = prepare(attention, estimand, method), prepare(failure, estimand, method)
    estimate = correlations(observed_moments(a, f), estimand, method)[0]
    left_out = correlations(leave_one_out_moments(a, f), estimand, method)
    low, high = leave_one_out_interval(_fisher(estimate), _fisher(left_out), spec.confidence)
    p = p_values(
        attention,
        failure,
        estimand,
        method,
        n_resamples=spec.n_resamples,
        seed=spec.seed,
    )
    reason = np.full(estimate.shape, "", dtype=REASON_DTYPE)
    reason[~np.isfinite(low)] = NOTHING_VARIES
    for doubtful, why in doubts(attention, failure, estimand, method):
        here = np.broadcast_to(doubtful, reason.shape)
        low, high = (np.where(here, np.nan, bound) for bound in (low, high))
        reason[here] = f"no interval: {why}"
    for name, values in (("attention", attention), ("failure", failure)):
        constant = np.broadcast_to(~varies(values, estimand), reason.shape)
        estimate, low, high, p = (np.where(constant, np.nan, x) for x in (estimate, low, high, p))
        where = {"within_problem": " within problems", "between_thoughts": " between thoughts"}
        reason[constant] = f"{name} does not vary{where.get(estimand, '')}"
    return CorrelationResult(estimate, np.tanh(low), np.tanh(high), p, reason)


def doubts(
    attention: Values, failure: Values, estimand: Estimand, method: Method
) -> Iterator[tuple[Bool[np.ndarray, " series"], str]]:
    """Say which series have no interval that can be trusted, and why."""
    for name, values in (("attention", attention), ("failure", failure)):
        if estimand == "within_problem" and method == "spearman":
            why = (
                f"most values of {name} are equal, and the order of what centring leaves of them "
                "is chance; use method='pearson'"
            )
            yield _largest_tie(values) > MOSTLY_TIED, why
        if estimand == "between_thoughts":
            why = (
                f"mean {name} does not differ clearly between thoughts, and a correlation with "
                "noise has no true value"
            )
            yield ~profile_is_clear(values), why


def _fisher(correlation: np.ndarray) -> np.ndarray:
    """Fisher's z, on which the distribution of a correlation is about symmetric."""
    z: np.ndarray = np.arctanh(np.clip(correlation, -1 + 1e-12, 1 - 1e-12))
    return z


def _largest_tie(values: Values) -> Float[np.ndarray, " series"]:
    """Give the part of the points that share the commonest value."""
    columns = rearrange(values, "problem thought series -> series (problem thought)")
    commonest = [np.unique(column, return_counts=True)[1].max() for column in columns]
    frequency: np.ndarray = np.array(commonest) / columns.shape[1]
    return frequency


def profile_is_clear(values: Values) -> Bool[np.ndarray, " series"]:
    """Say whether noise makes up less than a tenth of the spread between the thoughts' means.

    The F ratio of a two-way layout (problems and thoughts) without interaction is 1 where the
    spread is nothing but noise; 1 - 1/F is the profile's reliability.
    """
    n_problems, n_thoughts, n_series = values.shape
    residual = prepare(values, "within_problem", "pearson")
    between = n_problems * values.mean(axis=0).var(axis=0, ddof=1)
    within = (residual**2).sum(axis=(0, 1)) / ((n_thoughts - 1) * (n_problems - 1))
    ratio = np.divide(between, within, out=np.full(n_series, np.inf), where=within > 0)
    clear: np.ndarray = 1 - 1 / np.maximum(ratio, 1) >= RELIABLE
    return clear
