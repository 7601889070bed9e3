"""Whether thoughts are used: conditions against the model as trained, and a verdict."""

from typing import NamedTuple

import numpy as np
import xarray as xr

from cot_attn.stats.averages import mean_over_problems
from cot_attn.stats.contrasts import contrasts
from cot_attn.stats.rates import rate_over_problems

LEVEL = 0.05
TRAINED, NONE, OTHERS = "as trained", "no thoughts", "another problem's"
CONSTANTS = ("mean thought", "pause")


def usage_summary(usage: xr.Dataset, *, confidence: float = 0.95) -> xr.Dataset:
    """Compare each condition with the model as trained, and say whether its thoughts are used.

    The verdict, by this rule (*lost*: fewer right than as trained, Holm p < 0.05; *kept*: the
    interval of the difference lies above -margin):

    1. *Cannot tell* where the interval of the accuracy as trained reaches down to the commonest
       answer's.
    2. *Content used* where answers are lost with another problem's thoughts. These are on the
       distribution of thoughts; only what they say is wrong.
    3. *Cannot tell* where they are neither lost nor kept: too few problems.
    4. *Not used* where they are kept, and without any thought too.
    5. *Only computation time used* where they are kept, and with a constant in every place, and
       lost without thoughts.
    6. *Cannot tell* else: answers are lost under conditions alone that no training has shown to the
       model.

    Parameters
    ----------
    usage
        From `experiments.usage`.

    Returns
    -------
    xr.Dataset
        Over condition: `estimate`, `low`, `high` (accuracy, Wilson's interval); `difference` with
        `difference_low`, `difference_high`, `p` (McNemar, exact) and `p_holm`, each problem
        compared with itself as trained; `changed` (answers with another value); `kl_value`, in
        nats; `n_problems`. `attrs["verdict"]` is a sentence.
    """
    missing = {"problem", "condition"} - set(usage["correct"].dims)
    conditions = [str(name) for name in usage["condition"].values] if not missing else []
    lacking = [name for name in (TRAINED, NONE, OTHERS) if name not in conditions]
    if missing or lacking:
        raise ValueError(
            f"The result lacks {sorted(missing) or lacking}; give what experiments.usage returns."
        )
    correct = usage["correct"].drop_vars("baseline_correct", errors="ignore")
    table = rate_over_problems(correct, confidence=confidence)
    others = correct.sel(condition=[name for name in conditions if name != TRAINED])
    trained = correct.sel(condition=TRAINED, drop=True).broadcast_like(others)
    pair = xr.concat([trained, others], dim="against").assign_coords(against=[TRAINED, "changed"])
    tests = contrasts(pair, between="against", confidence=confidence).isel(pair=0)
    compared = {
        "difference": tests["estimate"],
        "difference_low": tests["low"],
        "difference_high": tests["high"],
        "p": tests["p"],
        "p_holm": tests["p_holm"],
    }
    for name, values in compared.items():
        table[name] = values.drop_vars(["first", "second"]).reindex(condition=conditions)
    table["changed"] = mean_over_problems(usage["changed"])["estimate"]
    table["kl_value"] = mean_over_problems(usage["kl_value"])["estimate"]
    margin, chance = (float(usage.attrs.get(name, 0.0)) for name in ("margin", "most_common"))
    attrs = {
        **{name: usage.attrs[name] for name in ("model", "checkpoint") if name in usage.attrs},
        "confidence": confidence,
        "margin": margin,
        "most_common": chance,
        "test": tests.attrs["test"],
    }
    table = table.assign_attrs(**attrs)
    return table.assign_attrs(verdict=_verdict(table, margin, chance))


class _Side(NamedTuple):
    """What became of the answers under a condition."""

    name: str
    right: float
    difference: float
    lost: bool
    kept: bool

    def __str__(self) -> str:
        return f"{100 * self.right:.0f} % are right"


def _side(table: xr.Dataset, name: str, margin: float) -> _Side:
    row = table.sel(condition=name)
    difference, low = float(row["difference"]), float(row["difference_low"])
    lost = bool(row["p_holm"] < LEVEL) and difference < 0
    return _Side(name, float(row["estimate"]), difference, lost, bool(low > -margin))


def _verdict(table: xr.Dataset, margin: float, chance: float) -> str:
    trained = table.sel(condition=TRAINED)
    right = f"{100 * float(trained['estimate']):.0f} %"
    sides = {
        str(name): _side(table, str(name), margin)
        for name in table["condition"].values
        if name != TRAINED
    }
    others, none = sides[OTHERS], sides[NONE]
    constants = [sides[name] for name in CONSTANTS if name in sides]
    points = f"{100 * margin:g} points"
    if not float(trained["low"]) > chance:
        return (
            f"Cannot tell: as trained {right} are right, and the commonest answer alone would be "
            f"right for {100 * chance:.0f} %."
        )
    if others.lost:
        return (
            f"Content used: with another problem's thoughts {others}, as trained {right} "
            f"({_interval(table, OTHERS)}, {_p(table, OTHERS)})."
        )
    if not others.kept:
        return (
            f"Cannot tell: too few problems. With another problem's thoughts {others}, as trained "
            f"{right} ({_interval(table, OTHERS)}): neither a loss nor the absence of one as large "
            f"as {points}."
        )
    kept = f"with another problem's thoughts {others}, as trained {right}"
    if none.kept:
        return f"Not used: {kept}, and without any thought {none}."
    steady = [side for side in constants if side.kept]
    if none.lost and steady:
        return (
            f"Only computation time used: {kept}; with a constant in every place "
            f"({steady[0].name}) {steady[0]}, but without thoughts {none} "
            f"({_interval(table, NONE)}, {_p(table, NONE)})."
        )
    worse = [side for side in sides.values() if side.lost]
    if not worse:
        return (
            f"Cannot tell: too few problems. {kept[0].upper()}{kept[1:]}; without any thought "
            f"{none} ({_interval(table, NONE)})."
        )
    return (
        f"Cannot tell: {kept}. Answers are lost only where the model is off its distribution "
        f"({', '.join(side.name for side in worse)})."
    )


def _interval(table: xr.Dataset, name: str) -> str:
    row = table.sel(condition=name)
    low, high = (100 * float(row[f"difference_{end}"]) for end in ("low", "high"))
    level = 100 * float(table.attrs.get("confidence", np.nan))
    return f"{level:g} % interval of the difference {low:.0f} to {high:.0f} points"


def _p(table: xr.Dataset, name: str) -> str:
    p = float(table["p_holm"].sel(condition=name))
    return "Holm p < 0.001" if p < 0.001 else f"Holm p = {p:.3f}"
