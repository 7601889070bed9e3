"""Made-up results of experiments, as `cot_attn.stats` gives them, for the figures."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from cot_attn.experiments import all_edges

CONDITIONS = [
    "as trained",
    "no thoughts",
    "mean thought",
    "pause",
    "another problem's",
    "another order",
    "first repeated",
    "noise",
]


def summary(coords: Mapping[str, Sequence[object]], seed: int = 0, **attrs: object) -> xr.Dataset:
    """Estimates between 0 and 1 with intervals, over labels."""
    rng = np.random.default_rng(seed)
    shape = tuple(len(labels) for labels in coords.values())
    estimate = rng.uniform(0.1, 0.9, shape)
    reach = rng.uniform(0.02, 0.1, shape)
    dims = tuple(coords)
    return xr.Dataset(
        {
            "estimate": (dims, estimate),
            "low": (dims, estimate - reach),
            "high": (dims, estimate + reach),
            "n_problems": (dims, np.full(shape, 187)),
        },
        coords={name: list(labels) for name, labels in coords.items()},
        attrs={"model": "simulated", "confidence": 0.95, **attrs},
    )


def usage() -> xr.Dataset:
    table = summary({"condition": CONDITIONS}, most_common=0.1, verdict="Content used: so it is.")
    p = np.where(np.arange(len(CONDITIONS)) % 2, 0.01, 0.4)
    p[0] = np.nan
    return table.assign(p_holm=("condition", p))


def exits() -> xr.Dataset:
    return summary({"difficulty": [1.0, 2.0, 3.0], "n_thoughts": range(9)}, trained_with=6)


def committed() -> xr.Dataset:
    table = summary({"kind": ["first", "stable"], "n_thoughts": range(7)})
    return table.assign_coords(target="right")


def steering() -> xr.Dataset:
    table = summary({"dose": [0.0, 0.5, 1.0, 2.0]}, n_random=20, name="towards 5")
    random = table["estimate"] / 2
    more = {"random": random, "random_low": random - 0.05, "random_high": random + 0.05}
    p = ("dose", [1.0, 0.3, 0.01, 0.01])
    return table.assign(p=p, **more).assign_coords(outcome="target")


def graph() -> xr.Dataset:
    edges = all_edges(6)
    table = summary({"edge": [edge.label for edge in edges]})
    ends = {name: [getattr(edge, name) for edge in edges] for name in ("source", "target", "path")}
    table = table.assign_coords({name: ("edge", values) for name, values in ends.items()})
    needed = np.arange(len(edges)) % 3 == 0
    return table.assign(needed=("edge", needed)).assign_coords(downstream="recompute")


def heads() -> xr.Dataset:
    table = summary({"size": [1, 2, 4, 8, 16]}, n_random=20, thought=5)
    random = table["estimate"] / 2
    more = {"random": random, "random_low": random - 0.05, "random_high": random + 0.05}
    return table.assign(more)


def frontier() -> xr.Dataset:
    parts = ["optimal", "frontier", "reached", "later", "unreachable"]
    return summary({"thought": range(6), "part": parts}, measure="similarity")


def interchange() -> xr.Dataset:
    outcomes = ["predicted", "the source's", "the base's own", "another"]
    table = summary({"outcome": outcomes, "thought": range(6), "vector": ["source", "random"]})
    n_pairs = table["n_problems"].isel(outcome=0, drop=True)
    return table.assign(n_pairs=n_pairs).assign_coords(site="input")


def by_size(least: float = 0.2, seed: int = 0) -> xr.Dataset:
    """Two families of four sizes and two seeds."""
    rng = np.random.default_rng(seed)
    family, width, _ = np.array(
        [(f, w, s) for f in ("toy-gpt2", "toy-llama") for w in (32, 48, 64, 96) for s in (0, 1)]
    ).T
    size = 30.0 * width.astype(float) ** 2
    estimate = least + 0.3 * np.log10(size / size.min()) + rng.normal(0, 0.05, len(size))
    values = {"estimate": estimate, "low": estimate - 0.08, "high": estimate + 0.08}
    return xr.Dataset(
        {name: ("model", each) for name, each in values.items()},
        coords={
            "model": [f"model {i}" for i in range(len(size))],
            "family": ("model", family),
            "n_parameters": ("model", size),
        },
        attrs={"long_name": "right answers (%)", "confidence": 0.95},
    )
