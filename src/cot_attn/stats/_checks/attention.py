"""What can be wrong with a recording."""

import numpy as np
import xarray as xr
from jaxtyping import Bool

from cot_attn.stats._checks.check import Check
from cot_attn.stats._inference.estimands import NEGLIGIBLE
from cot_attn.stats._labelled.labels import as_array, join_by_label
from cot_attn.stats._labelled.thoughts import THOUGHT_KEY

ROW_SUM_TOLERANCE = 1e-3
ROUNDING = {"torch.bfloat16": 2.0**-8}  # by how much a row that sums to 1 can be off in this type


def rows_sum_to_one(attention: xr.Dataset | xr.DataArray) -> Check:
    """Look whether every recorded row is a whole: its keys' shares sum to 1."""
    rows = as_array(attention, "attention")
    sums = rows.sum("key", min_count=1).values  # a thought that is not there is no key
    finite = sums[np.isfinite(sums)]
    name = "Attention rows sum to 1"
    if finite.size == 0:
        return Check(name, "fail", "No row holds a number.")
    off = float(np.abs(finite - 1).max())
    empty = 1 - finite.size / sums.size
    tolerance = max(ROW_SUM_TOLERANCE, ROUNDING.get(str(attention.attrs.get("dtype")), 0.0))
    if off > tolerance:
        wrong = float((np.abs(finite - 1) > tolerance).mean())
        told = (
            f"{wrong:.1%} of the rows do not; the worst is off by {off:.3g}. Keys are missing, or "
            "these are means over a row and not the row."
        )
        if off <= max(ROUNDING.values()):
            told += " A model in bfloat16 rounds as much; say so in the attribute dtype."
        return Check(name, "fail", told)
    unseen = f" {empty:.1%} of the rows are empty (no value was found)." if empty else ""
    return Check(name, "pass", f"All do, within {off:.1g}.{unseen}")


def attention_varies(attention: xr.Dataset | xr.DataArray) -> Check:
    """Look for layers or heads in which all problems attend, or spread it on thoughts, alike."""
    rows = as_array(attention, "attention")
    name = "Attention differs between problems"
    if rows.sizes["problem"] < 2:
        return Check(name, "warn", "There is one problem, so this cannot be seen.")
    same = _same_in_all_problems(rows)
    if same.any():
        return Check(
            name,
            "fail" if same.all() else "warn",
            f"In {int(same.sum())} of {same.size} layers and heads all problems have the same "
            "attention; no correlation is defined there.",
        )
    thoughts = [key for key in rows["key"].values if THOUGHT_KEY.fullmatch(str(key))]
    if len(thoughts) > 1:
        on_thoughts = rows.sel(key=thoughts)
        total = on_thoughts.sum("key")
        alike = _same_in_all_problems(on_thoughts / total.where(total > 0))
        if alike.any():
            return Check(
                name,
                "warn",
                f"In {int(alike.sum())} of {alike.size} layers and heads all problems spread it "
                "over the thoughts alike, as even attention does; no correlation of shares is "
                "defined there.",
            )
    return Check(name, "pass", "It does, in every layer and head.")


def _same_in_all_problems(rows: xr.DataArray) -> Bool[np.ndarray, "*layer_head"]:
    spread = rows.max("problem") - rows.min("problem")
    widest = spread.max([dim for dim in ("query", "key") if dim in rows.dims])
    same: np.ndarray = (widest <= NEGLIGIBLE).values
    return same


def same_problems(attention: xr.Dataset | xr.DataArray, effects: xr.Dataset) -> Check:
    """Look whether attention and effects are of the same problems."""
    name = "Attention and effects are of the same problems"
    left = as_array(attention, "attention")["problem"]
    try:
        join_by_label(left, effects["problem"], names=("attention", "effects"))
    except ValueError as error:
        return Check(name, "fail", str(error))
    return Check(name, "pass", f"All {left.size} are.")
