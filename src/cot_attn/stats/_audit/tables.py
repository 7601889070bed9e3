"""Checks for published tables: numbers whose making is not known."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from scipy.stats import pearsonr
from scipy.stats import t as student_t

from cot_attn.stats._audit.published import PublishedTable, half_unit
from cot_attn.stats._checks.check import Check
from cot_attn.stats._inference.permutation import p_values

Numbers = Sequence[float]

POSITIONS_OFF = 0.1  # reciprocals of 1/length lie on a line; rounding moves them less than this
STEP = (0.95, 1.5)  # from one thought to the next, in positions
DOMINANT = 2.0  # the last column counts as suspicious from twice the next largest on
SAME = 1e-5  # numbers that differ by less than this part are the same but for rounding
TELLING = 3  # so many digits do not agree by chance in every column


def table_checks(
    table: PublishedTable, tables: Sequence[PublishedTable], scale: float
) -> Iterator[Check]:
    """Run every check that applies to a table, given all tables of the same publication."""
    columns, figures = table.columns, table.figures
    attention, importance = columns.get("attention"), columns.get("importance")
    if attention is not None:
        yield attention_is_not_one_over_length([value * scale for value in attention])
        by_layer = {
            other.layer if other.layer is not None else f"number {place}": values
            for place, other in enumerate(tables)
            if other.model == table.model and (values := other.columns.get("attention"))
        }
        if len(by_layer) > 1:
            yield layers_differ(by_layer)
        yield last_column_is_a_thought(attention)
        if "total_thought_attention" in figures:
            yield total_is_the_sum(attention, figures["total_thought_attention"])
    if "share" in columns:
        yield shares_are_shares(columns["share"], attention, whole=1 / scale)
    if attention is not None and importance is not None:
        yield profiles_are_related(attention, importance)
    if "pooled_r" in figures and columns:
        n_thoughts = len(next(iter(columns.values())))
        n_problems = figures.get("n_problems")
        yield pooled_p_counts_problems(
            figures["pooled_r"], n_thoughts, None if n_problems is None else int(n_problems)
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
    index = np.arange(len(values))
    slope, start = np.polyfit(index, 1 / values, 1)
    # Numbers given in another unit than was said are 1/length all the same.
    for unit, advice in ((1, ""), (0.01, " (read as fractions)"), (100, " (read as percent)")):
        positions, line = unit / values, unit * (start + slope * index)
        off = float(np.abs(positions - line).max())
        if STEP[0] <= slope * unit <= STEP[1] and off <= POSITIONS_OFF:
            listed = ", ".join(f"{position:.1f}" for position in positions)
            return Check(
                name,
                "fail",
                f"the reciprocals ({listed}) step evenly, by {slope * unit:.2f} positions{advice}. "
                "This is what the mean of a softmax row gives, 1/length, whatever the model "
                "attends to: a row of length n sums to 1, so its mean is 1/n. Read the columns of "
                "one query's row instead.",
            )
    listed = ", ".join(f"{position:.1f}" for position in 1 / values)
    return Check(name, "pass", f"the reciprocals ({listed}) do not step evenly.")


def layers_differ(by_layer: Mapping[object, Numbers]) -> Check:
    """Look for layers with the same attention to the last digit that is not rounding."""
    name = "Layers differ"
    labels = list(by_layer)
    same = [
        f"{first} and {second}"
        for i, first in enumerate(labels)
        for second in labels[i + 1 :]
        if len(by_layer[first]) == len(by_layer[second])
        and np.allclose(by_layer[first], by_layer[second], rtol=SAME, atol=0)
    ]
    digits = [
        len(f"{value:.6e}".partition("e")[0].replace(".", "").rstrip("0"))
        for values in by_layer.values()
        for value in values
    ]
    if same and max(digits) < TELLING:
        return Check(
            name,
            "warn",
            f"layers {'; '.join(same)} have the same attention, in the few digits given.",
        )
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
    others = float(values[:-1].max())
    if others <= 0:
        return Check(
            name, "warn", "all columns but the last are 0. Look up which token stands there."
        )
    ratio = float(values[-1]) / others
    if ratio >= DOMINANT:
        return Check(
            name,
            "warn",
            f"the last column is {ratio:.1f} times the next largest. Where columns are counted "
            "from the wrong position, the last is the query (EOT) itself, and a query looks at "
            "itself a great deal. Look up which token stands there.",
        )
    return Check(name, "pass", f"it is {ratio:.1f} times the largest of the others.")


def total_is_the_sum(attention: Numbers, total: float) -> Check:
    """Look whether the columns sum to the total that is printed beside them."""
    name = "The total is the sum"
    found = float(np.sum(attention))
    rounding = half_unit(attention) * len(attention) + half_unit([total])
    if abs(found - total) > rounding + 1e-9:
        return Check(name, "fail", f"the columns sum to {found:.4g}, the total says {total:.4g}.")
    return Check(name, "pass", f"the columns sum to {found:.4g}.")


def shares_are_shares(
    share: Numbers, attention: Numbers | None = None, *, whole: float = 1.0
) -> Check:
    """Look whether shares sum to the whole and are the attention's own proportions."""
    name = "Shares are shares"
    values = np.asarray(share, dtype=float) / whole
    printed = max(half_unit(share) / whole, 1e-4)
    total = float(values.sum())
    if abs(total - 1) > printed * len(values):
        return Check(name, "fail", f"they sum to {total:.3f}, not 1.")
    if attention is not None and np.sum(attention) > 0:
        proportions = np.asarray(attention, dtype=float) / np.sum(attention)
        # What rounding the attention does to a proportion, through itself and through the sum.
        through = half_unit(attention) * (1 + len(values) * proportions) / np.sum(attention)
        off = np.abs(values - proportions)
        if (off > printed + through).any():
            return Check(
                name,
                "fail",
                f"they are not the attention's proportions; one is off by {off.max():.3f}.",
            )
    return Check(name, "pass", f"they sum to {total:.3f}.")


def profiles_are_related(attention: Numbers, importance: Numbers) -> Check:
    """Say what a profile of a few thoughts can show, by trying every order of the thoughts."""
    name = "What the profiles can show"
    a, f = (np.asarray(values, dtype=float)[None, :, None] for values in (attention, importance))
    if np.ptp(a) == 0 or np.ptp(f) == 0:
        return Check(name, "warn", "one of them is constant, so they cannot be related.")
    if a.shape[1] < 3:
        return Check(name, "warn", f"{a.shape[1]} thoughts are too few to relate anything.")
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
