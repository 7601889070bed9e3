"""What a study keeps of its states: the words that a lens reads in them, and what a probe does."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from cot_attn.data.problem import Problem, text_hash
from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.readouts.lens import check_lens, logit_lens
from cot_attn.readouts.probing import probe
from cot_attn.readouts.targets import target_texts
from cot_attn.readouts.top import top_tokens
from cot_attn.study._lens import FED, PROBE, RANKS, WORDS, late_target, with_part

N_PERMUTATIONS = 199
N_WORDS = 2
N_OTHERS = 24
"""Other problems whose words say what is usual."""


def check_readable(model: ContinuousThoughtModel, problems: Sequence[Problem]) -> None:
    """Raise where a lens could not read a model's states for what these problems come to."""
    check_lens(model, problems, targets_of(problems))


def read_states(
    model: ContinuousThoughtModel, states: xr.Dataset, problems: Sequence[Problem], seed: int
) -> xr.Dataset:
    """Return the ranks of the steps' results, or of the answer, and what is read beside them.

    Returns
    -------
    xr.Dataset
        `rank` and `baseline_rank` over (problem, layer, place, target[, other]), `fed_rank` and
        `fed_baseline_rank` over (problem, thought, target[, other]), and `text`, as `logit_lens`
        gives them; `probe_accuracy` and the rest of what `probe` gives over (layer, place);
        `words_token` and the rest of what `top_tokens` gives of one problem, over (layer, place,
        nth).
    """
    targets = targets_of(problems)
    hidden = logit_lens(model, states, problems, targets)
    fed = logit_lens(model, states, problems, targets, space="fed")
    kept = hidden[["text", *RANKS]].drop_vars("question")
    kept = with_part(kept, FED, fed[list(RANKS)])
    kept = with_part(kept, PROBE, probed(states, kept["text"].sel(target=late_target(kept)), seed))
    kept = with_part(kept, WORDS, _words_of_one(model, states, kept["text"]))
    return kept.map(_small, keep_attrs=True)


def targets_of(problems: Sequence[Problem]) -> str:
    """Return what is looked for: the steps where any has a value, else the answer."""
    try:
        target_texts(problems, "steps")
    except ValueError:
        return "answer"
    return "steps"


def probed(states: xr.Dataset, texts: xr.DataArray, seed: int) -> xr.Dataset:
    """Probe states for a target: whether a number is above the median, or which text it is."""
    labels = dict(zip(texts["problem"].values, texts.values, strict=True))
    told = str(texts["target"].item())
    numbers = {problem: _number(text) for problem, text in labels.items()}
    values = [number for number in numbers.values() if number is not None]
    if values:
        median = float(np.median(values))
        told = f"{told} above {median:g}, the median"
        labels = {p: None if number is None else number > median for p, number in numbers.items()}
    found = probe(states, labels, n_permutations=N_PERMUTATIONS, seed=seed)
    return found.assign_attrs(label=told)


def _number(text: str) -> float | None:
    """Read a plain number; fractions and the like have none."""
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return None


def _words_of_one(
    model: ContinuousThoughtModel, states: xr.Dataset, texts: xr.DataArray
) -> xr.Dataset:
    """Return the likeliest words of the problem with the most steps, the first by its id."""
    n_steps = dict(zip(texts["problem"].values, (texts.values != "").sum(axis=1), strict=True))
    shown = min(n_steps, key=lambda problem: (-n_steps[problem], problem))
    others = sorted(n_steps.keys() - {shown}, key=lambda other: text_hash(f"{shown} {other}"))
    beside = [shown, *others[:N_OTHERS]]
    words = top_tokens(states.sel(problem=beside), model, k=N_WORDS)
    one = words.sel(problem=shown).rename(rank="nth")
    wanted = [str(text) for text in texts.sel(problem=shown).values if text]
    return one.assign_attrs(problem=str(shown), wanted=wanted, n_others=len(beside) - 1)


def _small(array: xr.DataArray) -> xr.DataArray:
    return array.astype("float32") if np.issubdtype(array.dtype, np.floating) else array
