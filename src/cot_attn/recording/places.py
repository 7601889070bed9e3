"""What is kept of a run at its places: BOT, the thoughts, EOT, and where the answer begins."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Shaped
from torch import Tensor

from cot_attn.data.grading import Grade, grade
from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.models.rollout import Rollout
from cot_attn.models.run import Run
from cot_attn.models.stages import Answer, Close, Stage, Thought, stage_label
from cot_attn.recording._recorder import Recorder
from cot_attn.recording.selection import Indices

VALUE = "answer_value"


class PlaceRecorder(Recorder):
    """Keep one row of an activation a place and layer, of every run inside a `with` block.

    Parameters
    ----------
    model, hook, layers
        See `Recorder`.
    places
        Which ones, out of `places_of(n_thoughts)`; by default all.
    """

    called = "places"
    """What the places are called, where they are asked for."""

    def __init__(
        self,
        model: ContinuousThoughtModel,
        hook: str,
        layers: Indices | None,
        places: Sequence[str] | None,
    ) -> None:
        super().__init__(model, hook, layers)
        self._asked = None if places is None else _checked(places, self.called)
        self._rows: dict[Stage, list[Tensor]] = {}
        self._wanted: dict[Stage, bool] = {}
        self._batches: list[xr.Dataset] = []
        self._seen: set[str] = set()
        self._n_thoughts: int | None = None

    @abstractmethod
    def _kept(self, activation: Tensor, rollout: Rollout) -> Shaped[Tensor, "problem *some last"]:
        """Return what is kept of an activation at its last position."""

    @abstractmethod
    def _take(self, run: Run, table: Tensor, coordinates: dict[str, Any]) -> None:
        """Take a run's table (problem, layer, *some, place, last) and its coordinates."""

    def places(self, n_thoughts: int) -> list[str]:
        """Return the names of the recorded places for a run with that many thoughts."""
        possible = places_of(n_thoughts)
        asked = possible if self._asked is None else self._asked
        if unknown := [place for place in asked if place not in possible]:
            raise ValueError(
                f"{self.called} are {asked}; a run with {n_thoughts} thoughts has {possible}, and "
                f"no {unknown[0]!r}."
            )
        return asked

    def _record(self, activation: Tensor, rollout: Rollout) -> None:
        stage = rollout.stage
        if stage not in self._wanted:  # all layers of a pass are alike
            asked = self.places(rollout.layout.n_thoughts)
            self._wanted[stage] = place_of(stage) in asked or (
                isinstance(stage, Close) and VALUE in asked
            )
        if self._wanted[stage]:
            self._rows.setdefault(stage, []).append(self._kept(activation, rollout))

    def _start(self, rollout: Rollout) -> None:
        ids = [problem.id for problem in rollout.problems]
        repeated = [each for each in ids if each in self._seen or ids.count(each) > 1]
        if repeated:
            raise ValueError(
                f"Problem {repeated[0]!r} is recorded twice. Results are joined by problem id: "
                "give each problem once, and use a new recorder for another run."
            )
        n_thoughts = rollout.layout.n_thoughts
        if self._n_thoughts not in (None, n_thoughts):
            raise ValueError(
                f"This run has {n_thoughts} thoughts and an earlier one in the same recorder has "
                f"{self._n_thoughts}. Use a recorder for each."
            )
        self.places(n_thoughts)

    def _finish(self, run: Run) -> None:
        grades = [grade(text, p) for text, p in zip(run.answers, run.problems, strict=True)]
        values = [
            self.model.value_tokens(tokens, graded.span)
            for tokens, graded in zip(run.answer_tokens, grades, strict=True)
        ]
        starts = [None if value is None else value.start for value in values]
        coordinates = {"layer": self.layers, **problem_coordinates(run, grades, starts)}
        if self.model.stop is not None:
            coordinates["n_thoughts"] = ("problem", list(run.n_thoughts))
        self._take(run, self._table(run, starts), coordinates)
        self._n_thoughts = run.layout.n_thoughts
        self._seen.update(problem.id for problem in run.problems)

    def _forget(self) -> None:
        self._rows, self._wanted = {}, {}

    def _joined(self) -> xr.Dataset:
        """Return the batches as one, with what results say of the model.

        Raises
        ------
        ValueError
            Where there is none.
        """
        if not self._batches:
            raise ValueError(
                f"Nothing was recorded. Run the model inside `with {type(self).__name__}(model) as "
                "recorder:`, and look at recorder.dataset() afterwards."
            )
        self._batches = [xr.concat(self._batches, dim="problem")]
        return self._batches[0].assign_attrs(self.model.provenance())

    def _table(self, run: Run, starts: Sequence[int | None]) -> Tensor:
        """Lay out what was kept as (problem, layer, *some, place, last).

        It is NaN where nothing was kept, and at thoughts that a problem does not have.
        """
        places = self.places(run.layout.n_thoughts)
        rows = {stage: torch.stack(layers, dim=1) for stage, layers in self._rows.items()}
        if not rows:
            raise ValueError(
                f"None of the hooks {self._hook.format('*')!r} of {self.model.name} was called at "
                f"the {self.called} {places}, so there is nothing to record."
            )
        example = next(iter(rows.values()))
        table = example.new_full((*example.shape[:-1], len(places), example.shape[-1]), torch.nan)
        for stage, row in rows.items():
            if not isinstance(stage, Answer) and place_of(stage) in places:
                table[..., places.index(place_of(stage)), :] = row
            if isinstance(stage, Thought) and place_of(stage) in places:
                stopped = torch.tensor([n <= stage.index for n in run.n_thoughts])
                table[stopped, ..., places.index(place_of(stage)), :] = torch.nan
        if VALUE in places:
            column = places.index(VALUE)
            for index, start in enumerate(starts):
                if start is not None:
                    stage = Answer(start - 1) if start else Close()
                    table[index, ..., column, :] = rows[stage][index]
        return table


def places_of(n_thoughts: int) -> list[str]:
    """Return the names of all places of a run with that many thoughts, in order.

    Examples
    --------
    >>> places_of(2)
    ['bot', 'thought 0', 'thought 1', 'eot', 'answer_value']
    """
    return ["bot", *(f"thought {i}" for i in range(n_thoughts)), "eot", VALUE]


def place_of(stage: Stage) -> str:
    """Return the place at the end of a stage; every answer token may turn out to be the value's."""
    return VALUE if isinstance(stage, Answer) else stage_label(stage)


def problem_coordinates(
    run: Run, grades: Sequence[Grade], starts: Sequence[int | None]
) -> dict[str, Any]:
    """Return what every record says of its problems, along `problem`.

    `difficulty`, `question_length` in tokens, `correct` (1, 0, or NaN without a gold answer), and
    `value_token`, the number of answer tokens before the value, or NaN.
    """
    pairs = list(zip(run.problems, grades, strict=True))
    difficulty = [np.nan if p.difficulty is None else float(p.difficulty) for p in run.problems]
    correct = [np.nan if p.answer is None else float(graded.correct) for p, graded in pairs]
    return {
        "problem": np.array([problem.id for problem in run.problems], dtype=object),
        "difficulty": ("problem", difficulty),
        "question_length": ("problem", list(run.layout.question_lengths)),
        "correct": ("problem", correct),
        "value_token": ("problem", [np.nan if each is None else float(each) for each in starts]),
    }


def _checked(places: Sequence[str], called: str) -> list[str]:
    if isinstance(places, str) or not len(places) or len(set(places)) < len(places):
        raise ValueError(
            f"{called} is {places!r}; give a list of different names out of 'bot', 'thought 0' .., "
            "'eot' and 'answer_value'."
        )
    return list(places)
