"""Made-up results of lenses and probes, for figures."""

import numpy as np
import xarray as xr

PLACES = ["bot", *(f"thought {i}" for i in range(6)), "eot", "answer_value"]
MODEL = {"model": "toy-gpt2"}


def agreement(seed: int = 0) -> xr.Dataset:
    """What a lens finds of a target, over (layer, place), and of steps, over (target, thought)."""
    rng = np.random.default_rng(seed)
    steps = [f"step {i}" for i in range(1, 7)]
    shape = (4, len(PLACES), 6)
    estimate = np.clip(rng.normal(0.2, 0.3, size=shape), -0.2, 0.95)
    dims = ("layer", "place", "target")
    return xr.Dataset(
        {
            "estimate": (dims, estimate),
            "low": (dims, estimate - 0.05),
            "high": (dims, estimate + 0.05),
            "n_problems": (dims, np.full(shape, 120)),
        },
        coords={"layer": range(4), "place": PLACES, "target": steps, "answered": "all"},
        attrs={**MODEL, "k": 1, "confidence": 0.95, "space": "hidden", "lens": "logit"},
    )


def fed_agreement() -> xr.Dataset:
    """The same of what was fed."""
    fed = agreement(seed=1).isel(layer=0, drop=True).isel(place=slice(1, 7))
    fed = fed.rename(place="thought").assign_coords(thought=range(6))
    return fed.assign_attrs(space="fed")


def probed(seed: int = 0) -> xr.Dataset:
    """What a probe reads, over (layer, place)."""
    rng = np.random.default_rng(seed)
    dims, shape = ("layer", "place"), (4, len(PLACES))
    accuracy = rng.uniform(0.3, 0.9, size=shape)
    named = {
        "accuracy": accuracy,
        "low": accuracy - 0.06,
        "high": accuracy + 0.05,
        "chance": np.full(shape, 0.12),
        "control": rng.uniform(0.05, 0.15, size=shape),
        "question_only": np.full(shape, 0.41),
    }
    return xr.Dataset(
        {name: (dims, each) for name, each in named.items()}
        | {"n_problems": (dims, np.full(shape, 200))},
        coords={"layer": range(4), "place": PLACES},
        attrs={
            **MODEL,
            "measure": "accuracy",
            "confidence": 0.95,
            "label": "step 2 above 12, the median",
        },
    )


def words() -> xr.Dataset:
    """The likeliest tokens of one problem, over (layer, place, rank)."""
    rng = np.random.default_rng(0)
    vocabulary = np.array([*map(str, range(24)), "The", " answer", "Wednesday", "$x^2$"], object)
    shape = (4, len(PLACES), 2)
    ids = rng.integers(0, len(vocabulary), size=shape)
    ids[0, -1] = -1  # the answer has no value
    dims = ("layer", "place", "rank")
    return xr.Dataset(
        {
            "token": (dims, np.where(ids < 0, "", vocabulary[ids])),
            "token_id": (dims, ids),
            "probability": (dims, rng.random(shape)),
            "elsewhere": (dims, rng.random(shape)),
        },
        coords={
            "layer": range(4),
            "place": PLACES,
            "rank": [1, 2],
            "problem": "toy-430a01cd80a4",
        },
        attrs={**MODEL, "wanted": ["17", "2", "6", "12", "13", "1,017"]},
    )
