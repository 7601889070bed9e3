"""Interchange accuracy: how often the answer becomes the predicted one."""

from itertools import product

import numpy as np
import xarray as xr

from cot_attn.stats._inference.dyads import dyadic_mean, dyadic_rate, dyadic_test
from cot_attn.stats._inference.multiplicity import holm

OUTCOMES = {"hit": "predicted", "source_hit": "the source's", "base_hit": "the base's own"}
OTHER = "another"
CHANGES, STAYS, UNKNOWN = "changes", "stays", "unknown"


def interchange_accuracy(found: xr.Dataset, *, confidence: float = 0.95) -> xr.Dataset:
    """Count how often the answer became the predicted one, the source's, the base's, or another.

    Parameters
    ----------
    found
        From `experiments.interchange`.

    Returns
    -------
    xr.Dataset
        Over (prediction, outcome, site, thought, vector): `estimate`, `low`, `high`, and `n_pairs`,
        `n_problems` without the outcome. `prediction` is "changes" for pairs whose predicted answer
        is not the base's own, "stays" for those where nothing should change, and "unknown" where
        nothing was predicted. `outcome` is "predicted", "the source's", "the base's own" or
        "another" (none of the three); the first three may coincide. Intervals are Wilson's, for as
        many pairs as are worth independent ones: pairs share problems.

        Over (prediction, site, thought): `p` and `p_holm` of the test that the predicted answer is
        as frequent with the source's vector as with a random one of the same norm, in each pair.
    """
    lacking = [name for name in (*OUTCOMES, "stays") if name not in found]
    if lacking or {"base", "source"} - set(found.coords):
        raise ValueError(f"The result lacks {lacking}; give what experiments.interchange returns.")
    ids = [str(problem) for name in ("base", "source") for problem in found[name].values]
    members = np.unique(ids, return_inverse=True)[1]
    first, second = members[: found.sizes["pair"]], members[found.sizes["pair"] :]
    rest = ("site", "thought", "vector")
    hits = {name: found[name].transpose("pair", *rest).values for name in OUTCOMES}
    stays = found["stays"].transpose("pair", "thought").values
    kinds = np.where(np.isnan(stays), UNKNOWN, np.where(stays == 1, STAYS, CHANGES))
    predictions = [name for name in (CHANGES, STAYS, UNKNOWN) if (kinds == name).any()]
    others = np.all([np.nan_to_num(values) == 0 for values in hits.values()], axis=0).astype(float)
    outcomes = {**{OUTCOMES[name]: values for name, values in hits.items()}, OTHER: others}
    sizes = tuple(found.sizes[dim] for dim in rest)
    shape = (len(predictions), len(outcomes), *sizes)
    table = {name: np.full(shape, np.nan) for name in ("estimate", "low", "high")}
    counts = {name: np.zeros((shape[0], *sizes), dtype=int) for name in ("n_pairs", "n_problems")}
    p = np.full((shape[0], *sizes[:2]), np.nan)
    for (row, kind), cell in product(enumerate(predictions), np.ndindex(sizes)):
        here = kinds[:, cell[1]] == kind
        for column, values in enumerate(outcomes.values()):
            mean = dyadic_mean(values[here, *cell], first[here], second[here])
            table["estimate"][row, column, *cell] = mean.estimate
            ends = dyadic_rate(mean, confidence)
            table["low"][row, column, *cell], table["high"][row, column, *cell] = ends
            if column == len(outcomes) - 1:
                counts["n_pairs"][row, *cell] = mean.n_pairs
                counts["n_problems"][row, *cell] = mean.n_problems
        if cell[2] == 0:
            sides = hits["hit"][here][:, *cell[:2]]
            more = sides[:, _side(found, "source")] - sides[:, _side(found, "random")]
            p[row, *cell[:2]] = dyadic_test(dyadic_mean(more, first[here], second[here]))
    attrs = {name: found.attrs[name] for name in ("model", "downstream") if name in found.attrs}
    return xr.Dataset(
        {
            **{n: (("prediction", "outcome", *rest), values) for n, values in table.items()},
            **{n: (("prediction", *rest), values) for n, values in counts.items()},
            "p": (("prediction", *rest[:2]), p),
            "p_holm": (("prediction", *rest[:2]), holm(p)),
        },
        coords={
            "prediction": predictions,
            "outcome": list(outcomes),
            **{dim: found[dim].values for dim in rest},
        },
        attrs={
            **attrs,
            "method": "rate over pairs that share problems, Wilson's interval",
            "test": "difference from random vectors, t clustered by problem",
            "confidence": confidence,
        },
    )


def _side(found: xr.Dataset, vector: str) -> int:
    return [str(name) for name in found["vector"].values].index(vector)
