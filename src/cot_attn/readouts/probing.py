"""Probes: what can be read from states, beyond what the question says and chance finds."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Shaped

from cot_attn.readouts._cells import Cell
from cot_attn.readouts._examples import Examples, Labels, examples
from cot_attn.readouts._ridge import Probe
from cot_attn.readouts._shuffling import control_labels, shuffled_by_group
from cot_attn.readouts._spaces import Space
from cot_attn.stats import benjamini_hochberg
from cot_attn.stats._inference.clustered import (
    left_out_interval,
    mean_interval_of_groups,
    r2_left_out,
)

AT_ONCE = 64  # labelings
ENOUGH = 20  # shuffled labels that do as well, after which p is known well enough


@dataclass(frozen=True)
class Settings:
    """How probes are tested."""

    n_permutations: int
    n_controls: int
    confidence: float
    seed: int

    def __post_init__(self) -> None:
        if self.n_permutations < 19:
            raise ValueError(
                f"n_permutations is {self.n_permutations}, too few for any p below 0.05. Give 199 "
                "or more."
            )
        if self.n_controls < 1:
            raise ValueError(f"n_controls is {self.n_controls}; give at least 1.")


def probe(
    states: xr.Dataset,
    labels: Labels,
    *,
    space: Space = "hidden",
    groups: Labels | None = None,
    n_folds: int = 5,
    n_permutations: int = 499,
    n_controls: int = 5,
    confidence: float = 0.95,
    seed: int = 0,
) -> xr.Dataset:
    """Say how well a label can be read from states, at each layer and place.

    A ridge probe (of each class against the others, or of a number) on standardised states,
    cross-validated: every problem is predicted by a probe that has seen neither it nor its like.

    Parameters
    ----------
    states
        What `StateRecorder.dataset` returns, or a selection of its problems, layers and places.
    labels
        By problem id: a mapping, or an array with the dimension `problem` and perhaps `place` (or
        `thought`), where each place has a label of its own. Texts, truth values and whole numbers
        are classes; other numbers are values. None, "" or NaN where a problem has none.
    space
        "hidden" for the residual stream, "fed" for the vectors that were fed as thoughts.
    groups
        By problem id, what must not be parted between training and test. By default questions that
        differ in nothing but their numbers, or have the same numbers: see `question_groups`.
    n_folds
        Number of folds. Within those that are trained on, the penalty is chosen by three more.
    n_permutations
        How often labels are shuffled, whole groups at a time, and everything is fitted again; fewer
        where 20 have done as well.
    n_controls
        How many control tasks are averaged.
    seed
        Of folds and shuffles.

    Returns
    -------
    xr.Dataset
        Over (layer, place), or (thought) in the space "fed". Fractions; NaN where `reason` says
        why.

        - `accuracy` (`r2` of values: the part of their variance that is predicted), `low`, `high`;
        - `chance`: how common the most common class is (0 for values);
        - `p`, and `q` over all that was tested here;
        - `control`: the same probe on labels by a hash of the question, and `selectivity`, what the
          true labels have beyond it;
        - `question_only`: the best that the same probe reads at `bot`, at any layer, before there
          is a thought, the layer (`question_only_layer`), and `gain`, `gain_low`, `gain_high`: what
          these states have beyond it. NaN where `bot` was not recorded;
        - `n_problems`, `n_groups`.

        Intervals are over groups.

    Raises
    ------
    TypeError, ValueError
        Where labels are not of these problems, by id.

    Notes
    -----
    Sources: Alain and Bengio (2016), arXiv:1610.01644; for control tasks and selectivity, Hewitt
    and Liang (2019), arXiv:1909.03368; for p values that stop early, Besag and Clifford (1991),
    "Sequential Monte Carlo p-values", Biometrika 78.

    Examples
    --------
    >>> from cot_attn import ContinuousThoughtModel, StateRecorder, load_problems
    >>> from cot_attn.readouts import probe
    >>> model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
    >>> problems = load_problems("toy", n=60, difficulties=[2])
    >>> with StateRecorder(model, layers=[-1], places=["bot", "thought 0"]) as recorder:
    ...     run = model.run(problems, max_new_tokens=8)
    >>> even = {problem.id: int(problem.answer) % 2 == 0 for problem in problems}
    >>> found = probe(recorder.dataset(), even, n_permutations=19)
    >>> found.accuracy.dims, found.attrs["classes"]
    (('layer', 'place'), [False, True])
    """
    settings = Settings(n_permutations, n_controls, confidence, seed)
    samples = examples(states, labels, groups, space, n_folds, seed)
    sizes = samples.vectors.sizes
    shape = (sizes["layer"], sizes["place"])
    measure = samples.measure
    names = [measure, *NUMBERS]
    table = {name: np.full(shape, np.nan) for name in names}
    counts = {name: np.zeros(shape, dtype=int) for name in ("n_problems", "n_groups")}
    reason = np.full(shape, "", dtype=object)
    questions: dict[bytes, Any] = {}
    for place in range(shape[1]):
        key = samples.labels[:, place].tobytes()
        if key not in questions:
            questions[key] = _question_only(samples, place, settings)
        for layer in range(shape[0]):
            cell = Cell.of(samples, samples.vectors.values[:, layer, place], place)
            counts["n_problems"][layer, place] = int(cell.kept.sum())
            counts["n_groups"][layer, place] = len(np.unique(cell.groups))
            reason[layer, place] = samples.refusal(place, cell.kept)
            if not reason[layer, place]:
                found = _measured(cell, questions[key], settings)
                for name, value in found.items():
                    table[measure if name == "score" else name][layer, place] = value
    table["q"] = benjamini_hochberg(table["p"])
    table["selectivity"] = table[measure] - table["control"]
    dims = ("layer", "place")
    result = xr.Dataset(
        {name: (dims, each) for name, each in {**table, **counts, "reason": reason}.items()},
        coords={name: c for name, c in samples.vectors.coords.items() if "problem" not in c.dims},
        attrs={
            **states.attrs,
            "space": space,
            "measure": measure,
            "n_folds": n_folds,
            "n_permutations": n_permutations,
            "n_controls": n_controls,
            "confidence": confidence,
            "seed": seed,
            "groups": "wording and numbers of the question" if groups is None else "given",
            **({} if samples.classes is None else {"classes": samples.classes}),
        },
    )
    if space == "fed":
        return result.isel(layer=0, drop=True).rename(place="thought")
    return result


NUMBERS = (
    *("low", "high", "chance", "p", "q", "control", "selectivity"),
    *("question_only", "question_only_layer", "gain", "gain_low", "gain_high"),
)


@dataclass(frozen=True)
class _Question:
    """What is read at `bot`: the predictions of the best layer, and which it is."""

    layer: int
    predicted: Shaped[np.ndarray, " all"]


def _question_only(samples: Examples, place: int, settings: Settings) -> _Question | None:
    """Probe every layer at `bot` for the labels of a place, and keep the best."""
    if samples.bot is None:
        return None
    best: _Question | None = None
    best_score = -np.inf
    for layer in range(samples.bot.shape[1]):
        cell = Cell.of(samples, samples.bot[:, layer], place)
        if samples.refusal(place, cell.kept):
            return None
        predictions = cell.predict(cell.probe(settings.seed), cell.labels[:, None])[:, 0]
        score = cell.score(cell.labels, predictions)
        if score > best_score:
            predicted = np.zeros(len(cell.kept), dtype=predictions.dtype)
            predicted[cell.kept] = predictions
            best, best_score = _Question(layer, predicted), score
    return best


def _measured(cell: Cell, question: _Question | None, settings: Settings) -> dict[str, float]:
    """Score the true labels, those of control tasks and shuffled ones, and what `bot` has."""
    probe = cell.probe(settings.seed)
    controls = [
        control_labels(cell.labels, cell.questions, each) for each in range(settings.n_controls)
    ]
    labelings = np.stack([cell.labels, *controls], axis=1)
    predicted = cell.predict(probe, labelings)
    scores = [cell.score(*pair) for pair in zip(labelings.T, predicted.T, strict=True)]
    low, high = cell.interval(cell.labels, predicted[:, 0], settings.confidence)
    return {
        "score": scores[0],
        "low": low,
        "high": high,
        "chance": cell.chance(cell.labels),
        "control": float(np.nanmean(scores[1:])),
        "p": _p_value(cell, probe, scores[0], settings),
        **({} if question is None else _gained(cell, predicted[:, 0], question, settings)),
    }


def _p_value(cell: Cell, probe: Probe, observed: float, settings: Settings) -> float:
    """Shuffle labels and fit again until enough have done as well as the true ones."""
    rng = np.random.default_rng(settings.seed)
    done, as_good = 0, 0
    while done < settings.n_permutations:
        n_orders = min(AT_ONCE, settings.n_permutations - done)
        shuffled = cell.labels[shuffled_by_group(cell.groups, n_orders, rng)].T
        predicted = cell.predict(probe, shuffled)
        for pair in zip(shuffled.T, predicted.T, strict=True):
            done += 1
            as_good += cell.score(*pair) >= observed - 1e-9
            if as_good == ENOUGH:
                return as_good / done
    return (as_good + 1) / (done + 1)


def _gained(
    cell: Cell, predicted: Shaped[np.ndarray, " problem"], question: _Question, settings: Settings
) -> dict[str, float]:
    """Compare with what is read at `bot`, problem by problem."""
    before = question.predicted[cell.kept]
    scores = [cell.score(cell.labels, each) for each in (predicted, before)]
    gain = scores[0] - scores[1]
    if cell.is_class:
        more = (predicted == cell.labels).astype(float) - (before == cell.labels)
        low, high = mean_interval_of_groups(more, cell.groups, settings.confidence)
    else:
        left = [r2_left_out(cell.labels, each, cell.groups) for each in (predicted, before)]
        low, high = left_out_interval(gain, left[0] - left[1], settings.confidence)
    return {
        "question_only": scores[1],
        "question_only_layer": float(question.layer),
        "gain": gain,
        "gain_low": low,
        "gain_high": high,
    }
