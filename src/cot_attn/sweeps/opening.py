"""All results of a sweep as one labelled dataset, read when it is looked at."""

from collections.abc import Mapping, Sequence
from functools import partial
from math import prod
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from cot_attn.sweeps.lazy import Block, ShardedArray, variable
from cot_attn.sweeps.manifest import Manifest, Shard
from cot_attn.sweeps.shard_file import finished, read_array, read_shard

WAYS = ("seed", "site", "downstream")
OF_PROBLEMS = "difficulty"
"""What a shard repeats that is known of its problems."""


def open_sweep(
    folder: str | PathLike[str], *, missing: Literal["raise", "nan"] = "raise"
) -> xr.Dataset:
    """Open a sweep's results as one dataset; values are read when they are asked for.

    Parameters
    ----------
    folder
        The sweep's folder.
    missing
        What is done where shards have no result: `raise` an error, or give NaN (and an empty text)
        in their places.

    Returns
    -------
    xr.Dataset
        Of the effects, over (model, seed, site, downstream, problem) and each outcome's own
        dimensions (thought, corruption): the outcomes, and `baseline_correct`, `baseline_answer`,
        `question_length`. Of attention, over (model, problem, layer, head, query, key):
        `attention`, and along (model, problem) `correct`. Along `problem` stands `difficulty`;
        along `model` stand `checkpoint`, `n_parameters`, `n_layers`, `n_thoughts` and the facts of
        the plan. A model's places that it does not have (a layer, a head) are NaN. Experiments
        have dimensions of their own: `sweep_studies` gives them.
        ``.load()`` reads everything, and `.chunk({})` makes dask arrays, a chunk a shard.

    Raises
    ------
    FileNotFoundError
        Where the folder holds no sweep, or none of its shards is done.
    ValueError
        Where shards have no result; or, when it is read, where a result is damaged.
    """
    manifest = Manifest.read(Path(folder))
    shards = [shard for shard in manifest.shards if shard.measure != "experiment"]
    done = finished(manifest.folder) & {shard.name for shard in shards}
    left = len(shards) - len(done)
    if not done:
        raise FileNotFoundError(
            f"None of the {left} shards in {folder} is done. Run it first: "
            "cot_attn.sweeps.run_sweep(folder), or `cot-attn sweep resume`."
        )
    if left and missing == "raise":
        raise ValueError(
            f"{left} of {len(shards)} shards in {folder} have no result (see `cot-attn "
            "sweep status`). Resume the sweep, or ask for missing='nan'."
        )
    return _Merge(manifest, done).dataset()


class _Merge:
    """Lays the shards of a manifest side by side."""

    def __init__(self, manifest: Manifest, done: set[str]) -> None:
        self.manifest = manifest
        self.done = [shard for shard in manifest.shards if shard.name in done]
        self.read = partial(read_array, manifest.folder)
        # One shard of each model says what its arrays look like.
        first = {(shard.measure, shard.model): shard.name for shard in reversed(self.done)}
        self.examples = {key: read_shard(manifest.folder, name) for key, name in first.items()}
        self.ids = [problem.id for problem in manifest.problems]
        self.labels: dict[str, list[Any]] = {
            "model": [model.name for model in manifest.models],
            "seed": sorted(manifest.seeds),
            "site": list(manifest.sites),
            "downstream": list(manifest.settings["downstream"]),
            "problem": self.ids,
        }
        for example in self.examples.values():
            for dim in example.dims:
                if dim != "problem":
                    labels = self.labels.setdefault(str(dim), [])
                    labels += [each for each in example[dim].values.tolist() if each not in labels]
        for (
            labels
        ) in self.labels.values():  # layers, heads, thoughts: a larger model may come later
            if all(isinstance(each, int) for each in labels):
                labels.sort()
        self.places = {
            dim: {label: place for place, label in enumerate(labels)}
            for dim, labels in self.labels.items()
        }

    def dataset(self) -> xr.Dataset:
        """Return everything."""
        variables: dict[str, xr.Variable] = {}
        for measure, prefix in (("effects", ("model", *WAYS)), ("attention", ("model",))):
            shards = [shard for shard in self.done if shard.measure == measure]
            examples = [each for (kind, _), each in self.examples.items() if kind == measure]
            for name in self._names(examples):
                if name not in variables:
                    variables[name] = self._variable(name, prefix, shards, examples)
        measured = [
            name for name in (*self.manifest.settings["outcomes"], "attention") if name in variables
        ]
        coordinates = {name: each for name, each in variables.items() if name not in measured}
        return xr.Dataset(
            {name: variables[name] for name in measured},
            coords={
                **{dim: self._index(dim) for dim in self.labels},
                **coordinates,
                **self._of_problems(),
                **self._of_models(),
            },
            attrs=self._attrs(),
        )

    def _names(self, examples: Sequence[xr.Dataset]) -> list[str]:
        names = [str(name) for each in examples for name in each.variables if name not in each.dims]
        return [name for name in dict.fromkeys(names) if name != OF_PROBLEMS]

    def _variable(
        self,
        name: str,
        prefix: tuple[str, ...],
        shards: Sequence[Shard],
        examples: Sequence[xr.Dataset],
    ) -> xr.Variable:
        example = next(each[name] for each in examples if name in each.variables)
        dims_of_shard = tuple(map(str, example.dims))
        dims = (*prefix, *dims_of_shard)
        shape = tuple(len(self.labels[dim]) for dim in dims)
        places = {
            model: self._places(one, dims_of_shard)
            for (_, model), one in self.examples.items()
            if name in one.variables
        }
        blocks = [
            Block(
                shard.name,
                self._first(shard, prefix) + self._own(shard, places[shard.model], dims_of_shard),
            )
            for shard in shards
        ]
        held = sum(prod(block.shape) for block in blocks)
        dtype, fill = _kind(example.dtype, gaps=held < prod(shape))
        array = ShardedArray(name, self.read, blocks, shape, dtype, fill)
        size = self.manifest.settings["problems_per_shard"]
        chunks = dict.fromkeys(prefix, 1) | {"problem": size}
        return variable(dims, array, chunks, example.attrs)

    def _places(self, example: xr.Dataset, dims: tuple[str, ...]) -> dict[str, np.ndarray]:
        """Return where a model's own labels are among all models'."""
        return {
            dim: np.array([self.places[dim][each] for each in example[dim].values.tolist()])
            for dim in dims
            if dim != "problem"
        }

    def _first(self, shard: Shard, prefix: tuple[str, ...]) -> tuple[np.ndarray, ...]:
        return tuple(np.array([self.places[dim][getattr(shard, dim)]]) for dim in prefix)

    def _own(
        self, shard: Shard, places: Mapping[str, np.ndarray], dims: tuple[str, ...]
    ) -> tuple[np.ndarray, ...]:
        problems = np.arange(shard.start, shard.stop)
        return tuple(problems if dim == "problem" else places[dim] for dim in dims)

    def _index(self, dim: str) -> pd.Index:
        labels = self.labels[dim]
        text = any(isinstance(each, str) for each in labels)
        index: pd.Index = pd.Index(labels, dtype=object if text else None, name=dim)
        return index

    def _of_problems(self) -> dict[str, tuple[str, np.ndarray]]:
        difficulties = [problem.difficulty for problem in self.manifest.problems]
        numbers = [np.nan if each is None else float(each) for each in difficulties]
        return {"difficulty": ("problem", np.array(numbers))}

    def _of_models(self) -> dict[str, tuple[str, np.ndarray]]:
        models = self.manifest.models
        facts = list(dict.fromkeys(name for model in models for name in model.source.facts))
        columns: dict[str, list[Any]] = {
            "checkpoint": [model.identity["checkpoint"] for model in models],
            "n_thoughts": [model.identity["n_thoughts"] for model in models],
            "n_layers": [model.n_layers for model in models],
            "n_parameters": [model.n_parameters for model in models],
            **{name: [model.source.facts.get(name) for model in models] for name in facts},
        }
        return {name: ("model", _column(values)) for name, values in columns.items()}

    def _attrs(self) -> dict[str, Any]:
        kept = ("outcomes", "max_new_tokens", "batch_size")
        settings = self.manifest.settings
        return {"cot_attn": self.manifest.cot_attn, **{name: settings[name] for name in kept}}


def _column(values: Sequence[Any]) -> np.ndarray:
    """Return what is known of models as numbers, where it is numbers or nothing."""
    if all(each is None or type(each) in (int, float) for each in values):
        return np.array([np.nan if each is None else each for each in values])
    return np.array(values, dtype=object)


def _kind(dtype: np.dtype[Any], *, gaps: bool) -> tuple[np.dtype[Any], object]:
    """Return the type of the whole, and what stands in its gaps."""
    if dtype.kind == "f":
        return dtype, np.nan
    if dtype.kind in "biu":
        return (np.dtype(float), np.nan) if gaps else (dtype, 0)
    return np.dtype(object), ""
