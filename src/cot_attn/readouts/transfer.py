"""Are the codes of the thoughts the same? Probes trained at one place, tested at another."""

import numpy as np
import xarray as xr

from cot_attn.readouts._cells import Cell
from cot_attn.readouts._examples import Labels, examples
from cot_attn.readouts._spaces import Space


def probe_transfer(
    states: xr.Dataset,
    labels: Labels,
    *,
    space: Space = "hidden",
    groups: Labels | None = None,
    n_folds: int = 5,
    confidence: float = 0.95,
    seed: int = 0,
) -> xr.Dataset:
    """Train a probe at each place and test it at every other, on problems that it has not seen.

    Parameters
    ----------
    states, labels, space, groups, n_folds, seed
        As in `probe`. Where each place has a label of its own, a probe is trained with those of its
        place, and tested with those of the other.

    Returns
    -------
    xr.Dataset
        Over (layer, trained, tested), or (trained, tested) in the space "fed": `accuracy` (or `r2`,
        which is far below 0 where the code is another), `low`, `high`, `chance` (how common the
        most common class is at the tested place; 0 for values), `n_problems` and `reason`. The
        diagonal is what `probe` gives.

    Raises
    ------
    TypeError, ValueError
        Where labels are not of these problems, by id.

    Examples
    --------
    >>> from cot_attn import ContinuousThoughtModel, StateRecorder, load_problems
    >>> from cot_attn.readouts import probe_transfer
    >>> model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
    >>> problems = load_problems("toy", n=60, difficulties=[2])
    >>> with StateRecorder(model, layers=[-1], places=["thought 1", "thought 2"]) as recorder:
    ...     run = model.run(problems, max_new_tokens=8)
    >>> even = {problem.id: int(problem.answer) % 2 == 0 for problem in problems}
    >>> probe_transfer(recorder.dataset(), even).accuracy.dims
    ('layer', 'trained', 'tested')
    """
    samples = examples(states, labels, groups, space, n_folds, seed)
    vectors, places = samples.vectors.values, samples.vectors["place"].values
    shape = (vectors.shape[1], len(places), len(places))
    measure = samples.measure
    table = {name: np.full(shape, np.nan) for name in (measure, "low", "high", "chance")}
    n_problems, reason = np.zeros(shape, dtype=int), np.full(shape, "", dtype=object)
    for layer, trained, tested in np.ndindex(shape):
        index = layer, trained, tested
        there = vectors[:, layer, tested]
        among = samples.labelled[:, tested] & np.isfinite(there).all(axis=1)
        cell = Cell.of(samples, vectors[:, layer, trained], trained, among)
        n_problems[index] = cell.kept.sum()
        reason[index] = samples.refusal(trained, cell.kept)
        if not reason[index]:
            probe = cell.probe(seed, there[cell.kept].astype(np.float64))
            predicted = cell.predict(probe, cell.labels[:, None])[:, 0]
            wanted = samples.labels[cell.kept, tested]
            table[measure][index] = cell.score(wanted, predicted)
            table["low"][index], table["high"][index] = cell.interval(wanted, predicted, confidence)
            table["chance"][index] = cell.chance(wanted)
    dims = ("layer", "trained", "tested")
    variables = {**table, "n_problems": n_problems, "reason": reason}
    result = xr.Dataset(
        {name: (dims, each) for name, each in variables.items()},
        coords={"layer": samples.vectors["layer"].values, "trained": places, "tested": places},
        attrs={
            **states.attrs,
            "space": space,
            "measure": measure,
            "n_folds": n_folds,
            "confidence": confidence,
            "seed": seed,
        },
    )
    return result.isel(layer=0, drop=True) if space == "fed" else result
