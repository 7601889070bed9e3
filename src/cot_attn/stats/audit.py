"""Checks for published tables: numbers whose making is not known."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from scipy.stats import pearsonr
from scipy.stats import t as student_t

from cot_attn.stats.check import Check
from cot_attn.stats.permutation import p_values

Table = Mapping[str, object]
Numbers = Sequence[float]

POSITIONS_OFF = 0.1  # reciprocals of 1/length lie on a line; rounding moves them less than this
DOMINANT = 2.0  # the last column counts as suspicious from twice the next largest on


def audit(tables: Table | Sequence[Table], *, scale: float = 0.01) -> tuple[Check, ...]:
    """Look for known mistakes in published tables of attention and importance by thought.

    Parameters
    ----------
    tables
        One or more, each a mapping with (as far as known) `model`, `layer`, `attention`, `share`,
        `importance` (one number a thought), `total_thought_attention`, and `pooled_r` with
        `n_problems`.
    scale
        What turns the numbers into fractions: 0.01 for percentages.

    Returns
    -------
    tuple of Check
        In the order of the tables; each message begins with the table's model and layer.

    Examples
    --------
    >>> lengths = [49, 50, 51, 52, 53, 54]
    >>> found = audit({"model": "m", "layer": 8, "attention": [100 / n for n in lengths]})
    >>> [check.status for check in found if check.name == "Attention is not 1/length"]
    ['fail']
    """
    listed = [tables] if isinstance(tables, Mapping) else list(tables)
    if not listed:
        raise ValueError("There is no table to audit. Give one mapping, or several.")
    return tuple(check for table in listed for check in _audit_table(table, listed, scale))


def _audit_table(table: Table, tables: Sequence[Table], scale: float) -> Iterator[Check]:
    label = f"{table.get('model', 'table')}, layer {table.get('layer', '?')}: "

    def labelled(check: Check) -> Check:
        return Check(check.name, check.status, label + check.message)

    attention = _column(table, "attention")
    if attention is not None:
        fractions = [value * scale for value in attention]
        yield labelled(attention_is_not_one_over_length(fractions))
        same_model = [other for other in tables if other.get("model") == table.get("model")]
        by_layer = {other.get("layer"): _column(other, "attention") for other in same_model}
        if len(by_layer) > 1:
            yield labelled(layers_differ({k: v for k, v in by_layer.items() if v is not None}))
        yield labelled(last_column_is_a_thought(fractions))
    share = _column(table, "share")
    if share is not None:
        yield labelled(shares_are_shares([value * scale for value in share], attention))
    importance = _column(table, "importance")
    if attention is not None and importance is not None:
        yield labelled(profiles_are_related(attention, importance))
    if isinstance(table.get("pooled_r"), float) and importance is not None:
        n_problems = table.get("n_problems")
        yield labelled(
            pooled_p_counts_problems(
                float(str(table["pooled_r"])),
                len(importance),
                int(str(n_problems)) if n_problems is not None else None,
            )
        )


def attention_is_not_one_over_length(attention: Numbers) -> Check:
    """Look whether attention by thought is the reciprocal of a position.

    The mean of a softmax row is 1 / its length, for any model, layer and head. One thought later
    the row is one longer, so that the reciprocals of such a column lie on a line of slope 1; of
    the mean over problems of different lengths, 1 + (their coefficient of variation)².
    """
    name = "Attention is not 1/length"
    values = np.asarray(attention, dtype=float)
    if len(values) < 4 or (values <= 0).any():
        return Check(name, "pass", "There are too few positive values to tell.")
    positions = 1 / values
    index = np.arange(len(values))
    slope, start = np.polyfit(index, positions, 1)
    off = float(np.abs(positions - (start + slope * index)).max())
    listed = ", ".join(f"{position:.1f}" for position in positions)
    if 0.95 <= slope <= 1.5 and off <= POSITIONS_OFF:
        return Check(
            name,
            "fail",
            f"the reciprocals ({listed}) step evenly, by {slope:.2f} positions. This is what the "
            "mean of a softmax row gives, 1/length, whatever the model attends to: a row of "
            "length n sums to 1, so its mean is 1/n. Read the columns of one query's row instead.",
        )
    return Check(name, "pass", f"the reciprocals ({listed}) do not step evenly.")


def layers_differ(by_layer: Mapping[object, Numbers]) -> Check:
    """Look for layers with the same attention to the last printed digit."""
    name = "Layers differ"
    labels = list(by_layer)
    same = [
        f"{first} and {second}"
        for i, first in enumerate(labels)
        for second in labels[i + 1 :]
        if np.array_equal(by_layer[first], by_layer[second])
    ]
    if same:
        return Check(
            name,
            "fail",
            f"layers {'; '.join(same)} have the same attention in every digit. No two layers of a "
            "trained model do; the number does not depend on the layer.",
        )
    return Check(name, "pass", "no two layers have the same numbers.")


def last_column_is_a_thought(attention: Numbers) -> Check:
    """Look for a last column so large that it may be the query looking at itself."""
    name = "The last column is a thought"
    values = np.asarray(attention, dtype=float)
    if len(values) < 2:
        return Check(name, "pass", "there is one column.")
    ratio = float(values[-1] / values[:-1].max())
    if ratio >= DOMINANT:
        return Check(
            name,
            "warn",
            f"the last column is {ratio:.1f} times the next largest. Where columns are counted "
            "from the wrong position, the last is the query (EOT) itself, and a query looks at "
            "itself a great deal. Look up which token stands there.",
        )
    return Check(name, "pass", f"it is {ratio:.1f} times the largest of the others.")


def shares_are_shares(share: Numbers, attention: Numbers | None = None) -> Check:
    """Look whether shares sum to 1 and are the attention's own proportions."""
    name = "Shares are shares"
    values = np.asarray(share, dtype=float)
    rounding = 0.001 * len(values)  # each is printed to a tenth of a percent, or better
    total = float(values.sum())
    if abs(total - 1) > rounding:
        return Check(name, "fail", f"they sum to {total:.3f}, not 1.")
    if attention is not None:
        proportions = np.asarray(attention, dtype=float) / np.sum(attention)
        off = float(np.abs(values - proportions).max())
        if off > 0.005:
            return Check(
                name, "fail", f"they are not the attention's proportions; one is off by {off:.3f}."
            )
    return Check(name, "pass", f"they sum to {total:.3f}.")


def profiles_are_related(attention: Numbers, importance: Numbers) -> Check:
    """Say what a profile of a few thoughts can show, by trying every order of the thoughts."""
    name = "What the profiles can show"
    a, f = (np.asarray(values, dtype=float)[None, :, None] for values in (attention, importance))
    if np.ptp(a) == 0 or np.ptp(f) == 0 or a.shape[1] < 3:
        return Check(name, "warn", "one of them is constant, so they cannot be related.")
    p = float(p_values(a, f, "between_thoughts", "pearson", n_resamples=2000, seed=0)[0, 0])
    r = float(pearsonr(a.ravel(), f.ravel()).statistic)
    return Check(
        name,
        "pass" if p < 0.05 else "warn",
        f"between the {a.shape[1]} thoughts r = {r:.2f}; of all orders of the thoughts a part "
        f"p = {p:.2f} is as extreme.",
    )


def pooled_p_counts_problems(
    r: float, n_thoughts: int, n_problems: int | None, level: float = 0.05
) -> Check:
    """Say what a pooled correlation's p would be if a problem counted once."""
    name = "A pooled p counts problems, not points"
    if n_problems is None:
        return Check(
            name,
            "warn",
            f"r = {r:.3f} is pooled over thoughts of the same problems, and the number of problems "
            "is not given. Points of one problem are not independent: the printed p is too small.",
        )
    points, problems = (textbook_p(r, n) for n in (n_thoughts * n_problems, n_problems))
    return Check(
        name,
        "warn" if problems < level else "fail",
        f"r = {r:.3f} has p = {points:.2g} if its {n_thoughts * n_problems} points were "
        f"independent, and p = {problems:.2g} if only its {n_problems} problems are. Neither says "
        "whether it comes from problems, from thoughts or from within problems.",
    )


def textbook_p(r: float, n: int) -> float:
    """Compute the p value that a correlation of n independent points would have."""
    t = r * np.sqrt((n - 2) / max(1 - r**2, 1e-15))
    return float(2 * student_t.sf(abs(t), n - 2))


def _column(table: Table, name: str) -> list[float] | None:
    """Read a column of numbers; None where the table has none or it is not printed in full."""
    values = table.get(name)
    if values is None:
        return None
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise TypeError(f"{name} must be a list of numbers, one a thought; got {values!r}.")
    if any(value is None for value in values):
        return None
    return [float(value) for value in values]
