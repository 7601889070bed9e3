"""What the residual stream holds before, at and after each thought."""

import shutil
import warnings
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.models.rollout import Rollout
from cot_attn.models.run import Run
from cot_attn.recording.memory import in_words, require_memory
from cot_attn.recording.places import PlaceRecorder, places_of
from cot_attn.recording.selection import Indices

Precision = Literal["float32", "float16"]
BYTES = {"float32": 4, "float16": 2}


class StateRecorder(PlaceRecorder):
    """Record the residual stream of every run inside a `with` block, and what was fed as thoughts.

    Layer l is the stream behind block l, before any later norm: the last layer's has not passed the
    model's final norm. A place is a position: `bot` (from whose last state thought 0 is made),
    `thought i` (where thought i is fed, and thought i + 1 is made), `eot` (predicts the first
    answer token) and `answer_value` (predicts the first token of the answer's value).

    Parameters
    ----------
    model
        The model whose runs are recorded.
    layers
        Which blocks; by default all. Negative numbers count from the end.
    places
        Which positions; by default all.
    dtype
        "float16" takes half of the memory, with 3 significant digits.
    store
        A folder that is not there yet, for more than fits into memory: each batch is written there
        (as zarr) when it has ended, and `dataset` reads from it what is looked at. Give `run` a
        `batch_size`.

    Raises
    ------
    MemoryError
        When a batch begins, where it needs more memory than is free.

    Examples
    --------
    >>> from cot_attn import ContinuousThoughtModel, StateRecorder, load_problems
    >>> model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
    >>> StateRecorder(model, layers=[-1])
    StateRecorder(toy-gpt2, 1 of 4 layers, 9 places, float32: 5.8 kB a problem)
    >>> with StateRecorder(model) as recorder:
    ...     run = model.run(load_problems("toy", n=6), max_new_tokens=8)
    >>> dict(recorder.dataset().sizes)
    {'problem': 6, 'layer': 4, 'place': 9, 'd_model': 96, 'thought': 6}
    """

    def __init__(
        self,
        model: ContinuousThoughtModel,
        layers: Indices | None = None,
        places: Sequence[str] | None = None,
        dtype: Precision = "float32",
        store: str | PathLike[str] | None = None,
    ) -> None:
        super().__init__(model, "blocks.{}.hook_out", layers, places)
        if dtype not in BYTES:
            accepted = " or ".join(map(repr, get_args(Precision)))
            raise ValueError(f"dtype is {dtype!r}; give {accepted}.")
        self.dtype = dtype
        self.store = None if store is None else Path(store)
        if self.store is not None and self.store.exists():
            raise FileExistsError(f"{self.store} is there already. Give a folder that is not.")

    def __repr__(self) -> str:
        model = self.model
        n_places = len(self._asked or places_of(model.n_thoughts))
        layers = f"{len(self.layers)} of {model.n_layers} layers"
        each = in_words(self.n_bytes(1))
        what = f"{model.name}, {layers}, {n_places} places, {self.dtype}: {each} a problem"
        return f"StateRecorder({what})"

    def n_bytes(self, n_problems: int, n_thoughts: int | None = None) -> int:
        """Return how many bytes the record of so many problems takes, in memory or in the store.

        While batches are joined by `dataset`, it is twice that for a moment. With `answer_value`
        among the places, a batch also takes that of one place for each answer token while it runs.
        """
        n_thoughts = self.model.n_thoughts if n_thoughts is None else n_thoughts
        n_places = len(self._asked or places_of(n_thoughts))
        numbers = len(self.layers) * n_places + n_thoughts
        return n_problems * numbers * self.model.d_model * BYTES[self.dtype]

    def dataset(self) -> xr.Dataset:
        """Return what was recorded.

        Returns
        -------
        xr.Dataset
            `state` (problem, layer, place, d_model) and `fed` (problem, thought, d_model), the
            vectors that were fed. `state` is NaN at `answer_value` where the answer has no value;
            with a stop rule, both are NaN at thoughts that a problem does not have, and there is
            `n_thoughts` along `problem`.
            Along `problem` there are `question`, `difficulty`, `question_length` (tokens),
            `correct` (1, 0, or NaN where there is no gold answer) and `value_token` (how many
            answer tokens stand before the value, or NaN); along `place` there is what the last
            state there `becomes`, such as "thought 0" at `bot`. From a store, numbers are read when
            they are looked at: see `xarray.Dataset.load`.

        Raises
        ------
        ValueError
            Where no run has finished inside the `with` block.
        """
        if self.store is not None and self._seen:
            stored: xr.Dataset = xr.open_zarr(self.store, chunks=None, consolidated=False)
            # Labels are few, and looked at by everybody.
            labels = {name: label.load() for name, label in stored.coords.items()}
            return stored.assign_coords({name: _as_objects(each) for name, each in labels.items()})
        return self._joined()

    def _start(self, rollout: Rollout) -> None:
        super()._start(rollout)
        n_problems, n_thoughts = len(rollout.problems), rollout.layout.n_thoughts
        require_memory(
            self.n_bytes(n_problems, n_thoughts),
            f"A record of {n_problems} problems, {len(self.layers)} layers and "
            f"{len(self.places(n_thoughts))} places",
            "Give fewer layers= or places=, dtype='float16', or store='states.zarr' and run with a "
            "batch_size=.",
        )

    def _kept(
        self, activation: Float[Tensor, "problem width d_model"], rollout: Rollout
    ) -> Float[Tensor, "problem d_model"]:
        return activation[:, -1].to("cpu", getattr(torch, self.dtype), copy=True)

    def _take(
        self,
        run: Run,
        table: Float[Tensor, "problem layer place d_model"],
        coordinates: dict[str, Any],
    ) -> None:
        fed = run.thoughts.to("cpu", table.dtype, copy=True)
        if table.isinf().any() or fed.isinf().any():
            raise OverflowError(
                f"States of {self.model.name} are too large for {self.dtype}, whose greatest "
                "number is 65504. Record them as dtype='float32'."
            )
        n_thoughts = run.layout.n_thoughts
        places = self.places(n_thoughts)
        becomes = [_becomes(place, n_thoughts) for place in places]
        questions = np.array([problem.question for problem in run.problems], dtype=object)
        batch = xr.Dataset(
            {
                "state": (("problem", "layer", "place", "d_model"), table.numpy()),
                "fed": (("problem", "thought", "d_model"), fed.numpy()),
            },
            coords={
                **coordinates,
                "place": np.array(places, dtype=object),
                "becomes": ("place", np.array(becomes, dtype=object)),
                "thought": range(n_thoughts),
                "question": ("problem", questions),
            },
        )
        if self.store is None:
            self._batches.append(batch)
        else:
            self._append(batch.assign_attrs(self.model.provenance()), self.store)

    def _append(self, batch: xr.Dataset, store: Path) -> None:
        batch = batch.assign_coords(
            {
                name: each.astype(np.dtypes.StringDType())
                for name, each in batch.coords.items()
                if each.dtype == object
            }
        )
        first = not store.exists()
        with warnings.catch_warnings():
            # zarr says that text may be stored in another way one day.
            warnings.simplefilter("ignore")
            try:
                batch.to_zarr(store, consolidated=False, append_dim=None if first else "problem")
            except BaseException:
                if first:
                    shutil.rmtree(store, ignore_errors=True)
                raise


def _becomes(place: str, n_thoughts: int) -> str:
    """Return the thought that is made from the last state of a place; empty where none is."""
    made = ["bot", *(f"thought {i}" for i in range(n_thoughts - 1))]
    return f"thought {made.index(place)}" if place in made and n_thoughts else ""


def _as_objects(label: xr.DataArray) -> xr.DataArray:
    return label.astype(object) if isinstance(label.dtype, np.dtypes.StringDType) else label
