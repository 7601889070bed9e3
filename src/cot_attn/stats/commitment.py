"""After how many thoughts the answer is right, first and for good; nobody is dropped."""

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from cot_attn.stats.rates import rate_over_problems

TARGETS = {"correct": "right", "agrees": "final"}


def exit_accuracy(
    exits: xr.Dataset, by: str | None = None, *, confidence: float = 0.95
) -> xr.Dataset:
    """Count how many answers are right after each number of thoughts.

    Parameters
    ----------
    exits
        From `experiments.exit_curve`.
    by
        A coordinate of the problems, such as "difficulty".

    Returns
    -------
    xr.Dataset
        `estimate`, `low`, `high` (Wilson's interval) and `n_problems` over ([by,] n_thoughts). The
        attribute `trained_with` says where training was.
    """
    table = rate_over_problems(exits["correct"], by, confidence=confidence)
    kept = ("model", "checkpoint", "trained_with")
    return table.assign_attrs({name: exits.attrs[name] for name in kept if name in exits.attrs})


def commitment(exits: xr.Dataset) -> xr.Dataset:
    """Say after how many thoughts each problem's answer was right, or the final one.

    Only exits up to the number of thoughts that the model was trained with count.

    Parameters
    ----------
    exits
        From `experiments.exit_curve`.

    Returns
    -------
    xr.Dataset
        Over (problem, target): `first`, the least number of thoughts after which the answer was
        right (target "right") or had the final answer's value ("final"), and `stable`, the least
        from which on it always was. NaN is *not yet*: such a problem is censored at
        `attrs["censored_at"]`, and a mean that leaves it out is one over survivors.

    Examples
    --------
    >>> right = xr.DataArray([[0.0, 1, 0, 1], [0, 0, 0, 0]], dims=("problem", "n_thoughts"),
    ...                      coords={"problem": ["a", "b"], "n_thoughts": [0, 1, 2, 3]})
    >>> found = commitment(xr.Dataset({"correct": right}, attrs={"trained_with": 3}))
    >>> found.first.values.ravel(), found.stable.values.ravel()
    (array([ 1., nan]), array([ 3., nan]))
    """
    if "correct" not in exits or "trained_with" not in exits.attrs:
        raise ValueError(
            "This is no result of exit_curve: it lacks `correct` or the attribute trained_with."
        )
    trained = int(exits.attrs["trained_with"])
    within = exits.sortby("n_thoughts").sel(n_thoughts=exits["n_thoughts"] <= trained)
    targets = {name: label for name, label in TARGETS.items() if name in exits}
    counts = within["n_thoughts"].values.astype(float)
    if not counts.size:
        raise ValueError(f"All exits lie beyond the {trained} thoughts of training.")
    found: dict[str, list[Float[np.ndarray, " problem"]]] = {"first": [], "stable": []}
    for name in targets:
        there = within[name].transpose("problem", "n_thoughts").values == 1
        from_here_on = np.logical_and.accumulate(there[:, ::-1], axis=1)[:, ::-1]
        found["first"].append(_earliest(there, counts))
        found["stable"].append(_earliest(from_here_on, counts))
    keep = [name for name, c in exits.coords.items() if c.dims == ("problem",)]
    return xr.Dataset(
        {name: (("target", "problem"), np.array(values)) for name, values in found.items()},
        coords={"target": list(targets.values()), **{name: exits[name] for name in keep}},
        attrs={
            **{name: exits.attrs[name] for name in ("model", "checkpoint") if name in exits.attrs},
            "censored_at": float(counts[-1]),
            "exits": counts.tolist(),
        },
    ).transpose("problem", "target")


def committed(
    commitments: xr.Dataset, by: str | None = None, *, confidence: float = 0.95
) -> xr.Dataset:
    """Give the part of the problems that have committed after so many thoughts.

    Parameters
    ----------
    commitments
        From `commitment`.
    by
        A coordinate of the problems, such as "difficulty".

    Returns
    -------
    xr.Dataset
        Over ([by,] kind, target, n_thoughts), where kind is "first" or "stable": `estimate`, one
        minus the Kaplan-Meier estimate, `low`, `high`, `n_problems`. All problems are watched up to
        the same exit, so that the estimate is the part that has committed and Wilson's interval
        holds. `median` over ([by,] kind, target) is the number of thoughts after which half have
        committed; NaN where that is never reached.
    """
    exits = np.array(commitments.attrs["exits"])
    kinds = xr.concat([commitments["first"], commitments["stable"]], dim="kind")
    kinds = kinds.assign_coords(kind=["first", "stable"])
    steps = xr.DataArray(exits, dims="n_thoughts", coords={"n_thoughts": exits.astype(int)})
    there = (kinds <= steps).astype(float)  # not yet (NaN) is not there
    table = rate_over_problems(there, by, confidence=confidence)
    reached = (table["estimate"] >= 0.5).any("n_thoughts")
    first = (table["estimate"] >= 0.5).argmax("n_thoughts")
    table["median"] = steps[first].drop_vars("n_thoughts").where(reached)
    attrs = {name: value for name, value in commitments.attrs.items() if name != "exits"}
    return table.assign_attrs(**attrs, method="1 - Kaplan-Meier, Wilson's interval")


def _earliest(
    there: Bool[np.ndarray, "problem exit"], exits: Float[np.ndarray, " exit"]
) -> Float[np.ndarray, " problem"]:
    return np.where(there.any(axis=1), exits[there.argmax(axis=1)], np.nan)
