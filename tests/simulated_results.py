"""Results as the library labels them, made up: k-step problems need their first k thoughts."""

import numpy as np
import xarray as xr

N_THOUGHTS = 6
CORRUPTIONS = ("zero", "gaussian(sigma=0.5)", "resample", "shuffle")


def problem_coordinates(n_problems: int, seed: int = 0) -> dict[str, tuple[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    difficulty = 1.0 + np.arange(n_problems) % 6
    return {
        "difficulty": ("problem", difficulty),
        "question_length": ("problem", (12 + 9 * difficulty + rng.integers(0, 5, n_problems))),
    }


def problem_ids(n_problems: int) -> list[str]:
    return [f"toy-{i:03d}" for i in range(n_problems)]


def attention(n_problems: int = 96, n_layers: int = 4, n_heads: int = 4, seed: int = 0):
    """Rows over roles that sum to 1; later layers look at the thought that a problem ends with."""
    rng = np.random.default_rng(seed)
    coords = problem_coordinates(n_problems)
    last = coords["difficulty"][1].astype(int) - 1
    queries = ["bot", *(f"thought {i}" for i in range(N_THOUGHTS)), "eot", "answer_value"]
    keys = ["question", "bot", *(f"thought {i}" for i in range(N_THOUGHTS)), "eot", "answer"]
    logits = rng.normal(0, 0.8, (n_problems, n_layers, n_heads, len(queries), len(keys)))
    logits += rng.normal(0, 0.7, (1, n_layers, n_heads, 1, len(keys)))
    logits[..., 0] += 1.5
    depth = np.arange(n_layers)[:, None, None] / max(n_layers - 1, 1)
    for problem in range(n_problems):
        logits[problem, :, :, :, 2 + last[problem]] += 2.5 * depth
    for row in range(len(queries)):
        seen = np.arange(len(keys)) <= row + 1
        logits[:, :, :, row, ~seen] = -np.inf
    rows = np.exp(logits)
    rows /= rows.sum(axis=-1, keepdims=True)
    return xr.Dataset(
        {"attention": (("problem", "layer", "head", "query", "key"), rows.astype(np.float32))},
        coords={
            "problem": problem_ids(n_problems),
            "layer": range(n_layers),
            "head": range(n_heads),
            "query": queries,
            "key": keys,
            **coords,
        },
        attrs={"model": "toy-gpt2"},
    )


def effects(n_problems: int = 96, seed: int = 0, scale: float = 0.95):
    """k-step problems mostly break when one of their first k thoughts is corrupted."""
    rng = np.random.default_rng(seed)
    coords = problem_coordinates(n_problems)
    needed = np.arange(N_THOUGHTS) < coords["difficulty"][1][:, None]
    strength = np.array([1.0, 0.35, 0.9, 0.7])[: len(CORRUPTIONS)]
    chance = 0.01 + scale * needed[:, :, None] * strength
    failed = (rng.random(chance.shape) < chance).astype(float)
    right = np.arange(n_problems) % 24 != 23
    failed[~right] = np.nan
    kl = np.where(np.isnan(failed), np.nan, rng.gamma(1.0, 0.3, chance.shape) + 2 * failed)
    dims = ("problem", "thought", "corruption")
    return xr.Dataset(
        {"failed": (dims, failed), "kl_value": (dims, kl)},
        coords={
            "problem": problem_ids(n_problems),
            "thought": range(N_THOUGHTS),
            "corruption": list(CORRUPTIONS),
            "baseline_correct": ("problem", right),
            **coords,
        },
        attrs={"model": "toy-gpt2", "site": "input", "downstream": "recompute"},
    )


def correlation(estimand: str, dims: dict[str, range], seed: int = 0) -> xr.Dataset:
    """Correlations with intervals and q values, laid out as `stats.correlate` gives them."""
    rng = np.random.default_rng(seed)
    shape = tuple(map(len, dims.values()))
    estimate = rng.uniform(-0.4, 0.9, shape)
    reach = rng.uniform(0.05, 0.25, shape)
    numbers = {
        "estimate": estimate,
        "low": np.maximum(estimate - reach, -1),
        "high": np.minimum(estimate + reach, 1),
        "p": rng.uniform(0, 0.1, shape),
        "q": rng.uniform(0, 0.1, shape),
        "n_problems": np.full(shape, 92),
    }
    return xr.Dataset(
        {name: (tuple(dims), values) for name, values in numbers.items()},
        coords=dims,
        attrs={"estimand": estimand, "method": "pearson"},
    )


def positions(seed: int = 0):
    """One problem's attention over its words, as the recorder of positions gives it."""
    rng = np.random.default_rng(seed)
    question = "Mia has 7 apples . She buys 3 times as many for $2 each and $5 of nuts . How many ?"
    words = question.split()
    thoughts = [f"thought {i}" for i in range(N_THOUGHTS)]
    texts = [*words, "<bot>", *thoughts, "<eot>", "The", "answer", "is:"]
    roles = ["question"] * len(words) + ["bot"] + ["thought"] * N_THOUGHTS + ["eot"]
    roles += ["answer"] * (len(texts) - len(roles))
    rows = np.tril(rng.gamma(0.5, 1.0, (2, 3, len(texts), len(texts))))
    rows /= rows.sum(axis=-1, keepdims=True)
    return xr.Dataset(
        {"attention": (("layer", "head", "query", "key"), rows)},
        coords={
            "layer": [0, 1],
            "head": [0, 1, 2],
            "query": range(len(texts)),
            "key": range(len(texts)),
            "query_role": ("query", roles),
            "key_role": ("key", roles),
            "query_text": ("query", texts),
            "key_text": ("key", texts),
        },
        attrs={"model": "toy-gpt2", "problem": "toy-012"},
    )
