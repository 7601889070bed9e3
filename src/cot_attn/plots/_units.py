"""Results hold fractions and nats; figures show percent, and say what they show."""

from typing import NamedTuple

import numpy as np
import xarray as xr


class Unit(NamedTuple):
    """What a number is multiplied by to be shown, and what the axis says."""

    factor: float
    label: str


BROKEN = Unit(100, "importance: answers broken (%)")
PERCENT = Unit(100, "%")
OUTCOMES = {
    "failed": BROKEN,
    "kl_first": Unit(1, "KL at the first answer token (nats)"),
    "kl_value": Unit(1, "KL at the value's first token (nats)"),
    "logprob_gold": Unit(1, "log probability of the right answer (nats)"),
    "logprob_baseline": Unit(1, "log probability of the model's answer (nats)"),
}


def unit_of(importance: xr.Dataset) -> Unit:
    """Say in what an importance is shown: percent of answers, unless its outcome is another."""
    outcome = str(importance.attrs.get("outcome", "failed"))
    return OUTCOMES.get(outcome, Unit(1, outcome.replace("_", " ")))


def percent_only(importance: xr.Dataset) -> None:
    """Raise where an importance cannot share an axis with attention."""
    if unit_of(importance) != BROKEN:
        raise ValueError(
            f"This importance was measured as {importance.attrs['outcome']!r}, which is not a part "
            "of a whole: it cannot share an axis with attention. Use "
            "importance(effects, outcome='failed'), or draw it alone with importance_by_thought."
        )


def short(value: float) -> str:
    """Write a number on a bar or in a cell: two digits where there is no room for more.

    Examples
    --------
    >>> [short(value) for value in (0.0, -5.94, 17.6, 100.0, float("nan"))]
    ['0', '−5.9', '18', '100', 'n/a']
    """
    return signed(value, digits=0 if abs(value) >= 9.95 or value == 0 else 1)


def signed(value: float, digits: int = 2) -> str:
    """Write a number with a true minus sign, and none where it rounds to zero.

    Examples
    --------
    >>> signed(-0.118), signed(-0.001), signed(float("nan"))
    ('−0.12', '0.00', 'n/a')
    """
    return "n/a" if np.isnan(value) else f"{value:z.{digits}f}".replace("-", "−")


def p_value(p: float) -> str:
    """Write a p value.

    Examples
    --------
    >>> p_value(0.0123), p_value(0.0004)
    ('p = 0.012', 'p < 0.001')
    """
    if np.isnan(p):
        return "p n/a"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def count(n: xr.DataArray, what: str = "problems") -> str:
    """Write how many problems there were, as a range where it differs.

    Examples
    --------
    >>> count(xr.DataArray([187, 187])), count(xr.DataArray([3, 12]))
    ('187 problems', '3 to 12 problems')
    """
    least, most = int(n.min()), int(n.max())
    return f"{most} {what}" if least == most else f"{least} to {most} {what}"
