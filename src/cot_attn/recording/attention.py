"""Who attends to which thought, summed over roles, at every layer and head."""

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from cot_attn.data.grading import grade
from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.models.rollout import Rollout
from cot_attn.models.run import Run
from cot_attn.models.stages import Answer, Close, Layout, Prompt, Stage, Thought
from cot_attn.recording._recorder import Recorder
from cot_attn.recording._selection import Indices

VALUE = "answer_value"


class AttentionRecorder(Recorder):
    """Record attention rows of every run inside a `with` block.

    Each row is a query's attention, summed over the columns of each role, so that a row sums to 1
    and memory does not grow with the length of a question.

    Parameters
    ----------
    model
        The model whose runs are recorded.
    layers, heads
        Which ones; by default all. Negative numbers count from the end.
    queries
        Which rows, out of `bot` (computes thought 0), `thought 0` .. (row i computes thought
        i + 1), `eot` (predicts the first answer token) and `answer_value` (predicts the first
        token of the answer's value); by default all.

    Examples
    --------
    >>> from cot_attn import AttentionRecorder, ContinuousThoughtModel, load_problems
    >>> model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
    >>> with AttentionRecorder(model, queries=["eot"]) as recorder:
    ...     run = model.run(load_problems("toy", n=6), max_new_tokens=8)
    >>> dict(recorder.dataset().sizes)
    {'problem': 6, 'layer': 4, 'head': 4, 'query': 1, 'key': 10}
    """

    def __init__(
        self,
        model: ContinuousThoughtModel,
        layers: Indices | None = None,
        heads: Indices | None = None,
        queries: Sequence[str] | None = None,
    ) -> None:
        super().__init__(model, layers, heads)
        self._asked = None if queries is None else _checked(queries)
        self._rows: dict[Stage, list[Tensor]] = {}
        self._batches: list[xr.Dataset] = []
        self._seen: set[str] = set()

    def dataset(self) -> xr.Dataset:
        """Return what was recorded.

        Returns
        -------
        xr.Dataset
            `attention` (problem, layer, head, query, key), fractions as float32. Every finite row
            sums to 1 over `key`; the `answer_value` row is NaN where the answer has no value.
            Along `problem` there are `difficulty`, `question_length` (tokens) and `correct` (1, 0,
            or NaN where there is no gold answer).

        Raises
        ------
        ValueError
            Where no run has finished inside the `with` block.
        """
        if not self._batches:
            raise ValueError(
                "Nothing was recorded. Run the model inside `with AttentionRecorder(model) as "
                "recorder:`, and look at recorder.dataset() afterwards."
            )
        joined = xr.concat(self._batches, dim="problem")
        return joined.assign_attrs(self.model.provenance())

    def queries(self, n_thoughts: int) -> list[str]:
        """Return the names of the recorded rows for a run with that many thoughts."""
        possible = queries_of(n_thoughts)
        asked = possible if self._asked is None else self._asked
        unknown = [query for query in asked if query not in possible]
        if unknown:
            raise ValueError(
                f"queries are {asked}; a run with {n_thoughts} thoughts has {possible}."
            )
        return asked

    def _record(self, pattern: Float[Tensor, "batch head query key"], rollout: Rollout) -> None:
        stage = rollout.stage
        wanted = VALUE if isinstance(stage, Answer) else _query(stage)
        asked = self.queries(rollout.layout.n_thoughts)
        if wanted in asked or (isinstance(stage, Close) and VALUE in asked):
            row = _by_role(pattern[:, self.heads, -1], rollout.layout)
            self._rows.setdefault(stage, []).append(row)

    def _start(self, rollout: Rollout) -> None:
        repeated = [problem.id for problem in rollout.problems if problem.id in self._seen]
        ids = [problem.id for problem in rollout.problems]
        repeated += [each for each in set(ids) if ids.count(each) > 1]
        if repeated:
            raise ValueError(
                f"Problem {repeated[0]!r} is recorded twice. Results are joined by problem id: "
                "give each problem once, and use a new recorder for another run."
            )
        n_thoughts = rollout.layout.n_thoughts
        if self._batches and n_thoughts != len(_thought_keys(self._batches[0])):
            raise ValueError(
                f"This run has {n_thoughts} thoughts and an earlier one in the same recorder has "
                f"{len(_thought_keys(self._batches[0]))}. Use a recorder for each."
            )

    def _finish(self, run: Run) -> None:
        queries = self.queries(run.layout.n_thoughts)
        rows = {stage: torch.stack(layers, dim=1) for stage, layers in self._rows.items()}
        if not rows:
            raise ValueError(
                f"The bridge of {self.model.name} shows no attention: none of its hooks "
                "'blocks.*.attn.hook_pattern' was called. There is nothing to record."
            )
        recorded = next(iter(rows.values()))
        table = recorded.new_full((*recorded.shape[:3], len(queries), recorded.shape[3]), torch.nan)
        for stage, row in rows.items():
            if not isinstance(stage, Answer) and _query(stage) in queries:
                table[:, :, :, queries.index(_query(stage))] = row
        grades = [grade(text, p) for text, p in zip(run.answers, run.problems, strict=True)]
        if VALUE in queries:
            column = queries.index(VALUE)
            for index, (tokens, graded) in enumerate(zip(run.answer_tokens, grades, strict=True)):
                value = self.model.value_tokens(tokens, graded.span)
                if value is not None:
                    place = Answer(value.start - 1) if value.start else Close()
                    table[index, :, :, column] = rows[place][index]
        has_gold = [p.answer is not None for p in run.problems]
        self._seen.update(problem.id for problem in run.problems)
        self._batches.append(
            xr.Dataset(
                {"attention": (DIMS, table.cpu().numpy())},
                coords={
                    "problem": np.array([p.id for p in run.problems], dtype=object),
                    "layer": self.layers,
                    "head": self.heads,
                    "query": queries,
                    "key": [*run.layout.keys(), "answer"],
                    "difficulty": ("problem", [_number(p.difficulty) for p in run.problems]),
                    "question_length": ("problem", list(run.layout.question_lengths)),
                    "correct": (
                        "problem",
                        [
                            float(graded.correct) if gold else np.nan
                            for graded, gold in zip(grades, has_gold, strict=True)
                        ],
                    ),
                },
            )
        )

    def _forget(self) -> None:
        self._rows = {}


def queries_of(n_thoughts: int) -> list[str]:
    """Return the names of all rows that a run with that many thoughts has."""
    return ["bot", *(f"thought {i}" for i in range(n_thoughts)), "eot", VALUE]


DIMS = ("problem", "layer", "head", "query", "key")


def _query(stage: Stage) -> str:
    match stage:
        case Prompt():
            return "bot"
        case Thought(index):
            return f"thought {index}"
        case _:
            return "eot"


def _by_role(
    row: Float[Tensor, "batch head position"], layout: Layout
) -> Float[Tensor, "batch head key"]:
    """Sum a row over the columns of each role; padding has no attention to add."""
    keys = list(layout.keys().values())
    groups = torch.full((row.shape[-1],), len(keys), device=row.device)
    for index, columns in enumerate(keys):
        groups[columns.start : columns.stop] = index
    sums = row.new_zeros((*row.shape[:2], len(keys) + 1), dtype=torch.float32)
    return sums.index_add_(-1, groups, row.float())


def _checked(queries: Sequence[str]) -> list[str]:
    if isinstance(queries, str) or not len(queries) or len(set(queries)) < len(queries):
        raise ValueError(
            f"queries is {queries!r}; give a list of different names out of 'bot', 'thought 0' .., "
            "'eot' and 'answer_value'."
        )
    return list(queries)


def _thought_keys(batch: xr.Dataset) -> list[str]:
    return [key for key in batch["key"].values if key.startswith("thought ")]


def _number(value: int | None) -> float:
    return np.nan if value is None else float(value)
