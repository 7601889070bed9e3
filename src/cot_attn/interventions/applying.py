"""Interventions in the runs of a model: which rows are changed, at which hook, while it thinks."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial

import torch
from torch import Tensor

from cot_attn._former import former_arguments
from cot_attn.interventions.context import CleanActivations, Context
from cot_attn.interventions.corruption import label as label_of
from cot_attn.interventions.intervention import Intervention
from cot_attn.interventions.masking import Scores, scores_changed, whole
from cot_attn.interventions.sites import Attention, Hook
from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.models.finite import NotFiniteError
from cot_attn.models.rollout import Rollout
from cot_attn.models.stages import Thought, in_earlier_pass
from cot_attn.recording.selection import selected


@former_arguments(reference="clean")
@contextmanager
def apply_interventions(
    model: ContinuousThoughtModel,
    interventions: Sequence[Intervention] | Intervention,
    clean: CleanActivations,
    *,
    seed: int = 0,
) -> Iterator[ContinuousThoughtModel]:
    """Apply interventions to everything that the model runs while the context lasts.

    Of a loop that makes all thoughts in several passes (`Jacobi`), they change the last one.

    Parameters
    ----------
    model
        The model.
    interventions
        One for all rows of a batch, or one for each row; the first of them may run alone.
    clean
        The clean activations that the interventions need, of the problems that will be run and of
        donors; see `collect`.
    seed
        For the random ones among the corruptions.

    Examples
    --------
    >>> from cot_attn import ContinuousThoughtModel, Intervention, load_problems
    >>> from cot_attn.interventions import Zero, apply_interventions, collect
    >>> model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
    >>> problems = load_problems("toy", n=1)
    >>> clean = collect(model, problems)
    >>> with apply_interventions(model, Intervention(2, Zero()), clean):
    ...     thoughts = model.think(problems).thoughts
    >>> thoughts[0].norm(dim=-1).gt(0).tolist()
    [True, True, False, True, True, True]
    """
    applied = _Applied(model, interventions, clean, seed)
    different = applied.different
    hooks: list[tuple[str, Callable[..., Tensor]]] = []
    for restored in {each.restored_at for each in different if each.downstream == "frozen"}:
        hooks.append((restored.name, partial(applied.restore, restored)))
    changed = {hook for each in different for hook in each.site.hooks(model)}
    for target in sorted(changed, key=lambda each: each.label):
        hooks.append((target.name, partial(applied.corrupt, target)))
    masked = {
        layer
        for each in different
        if isinstance(each.site, Attention)
        for layer in selected("layer", each.site.layers, model.n_layers)
    }
    masking = scores_changed(model, masked, applied.mask) if masked else nullcontext()
    try:
        with model.hooks(hooks), masking:
            yield model
    except NotFiniteError as error:
        change = (
            interventions if isinstance(interventions, Intervention) else interventions[error.row]
        )
        sentence = f"{error} This row carries out {change.label!r}."
        raise NotFiniteError(sentence, error.row) from error


class _Applied:
    """What is done to the rows of a batch, hook by hook."""

    def __init__(
        self,
        model: ContinuousThoughtModel,
        interventions: Sequence[Intervention] | Intervention,
        clean: CleanActivations,
        seed: int,
    ) -> None:
        self.model, self.clean, self.seed = model, clean, seed
        self.interventions = interventions
        each = [interventions] if isinstance(interventions, Intervention) else interventions
        self.different = list({id(change): change for change in each}.values())
        self._hooks = {id(change): set(change.site.hooks(model)) for change in self.different}

    def restore(self, target: Hook, activation: Tensor, hook: object) -> Tensor:
        """Put the baseline back into the later thoughts of frozen rows."""
        if in_earlier_pass(self._rollout().stage):
            return activation
        rollout, thought = self._thought()
        lengths = rollout.layout.n_thoughts_each
        rows = [
            row
            for change, rows in self._rows_of_each(rollout)
            if change.downstream == "frozen" and change.restored_at == target
            for row in rows
            if thought > change.thoughts[0]
            and thought < lengths[row]
            and self.clean.has(rollout.problems[row].id, thought)
        ]
        if not rows:
            return activation
        ids = [rollout.problems[row].id for row in rows]
        result = activation.clone()
        result[rows] = self.clean[target][self.clean.rows(ids), thought].to(result)
        return result

    def corrupt(self, target: Hook, activation: Tensor, hook: object) -> Tensor:
        """Replace a hook's activation in the rows that change this thought there."""
        stage = self._rollout().stage
        if not isinstance(stage, Thought) or in_earlier_pass(stage):
            return activation
        rollout, thought = self._thought()
        result = activation.clone()
        vectors = result if result.ndim == 2 else result[:, 0]
        heads = None if target.heads is None else torch.tensor(target.heads, device=vectors.device)
        lengths = rollout.layout.n_thoughts_each
        for change, all_rows in self._rows_of_each(rollout):
            rows = [row for row in all_rows if thought < lengths[row]]
            if rows and thought in change.thoughts and target in self._hooks[id(change)]:
                indices = torch.tensor(rows, device=vectors.device)
                where = (indices,) if heads is None else (indices[:, None], heads)
                contexts = [
                    Context(rollout.problems[row].id, thought, self.seed, self.clean, target)
                    for row in rows
                ]
                vectors[where] = _corrupted(change, vectors[where], contexts)
        return result

    def mask(self, layer: int, scores: Scores) -> Scores:
        """Take attention to changed thoughts away from the queries that come later."""
        rollout = self._rollout()
        if in_earlier_pass(rollout.stage):
            return scores
        layout, lengths = rollout.layout, rollout.layout.n_thoughts_each
        first = scores.shape[3] - scores.shape[2]
        changes = [
            (change, change.site, rows)
            for change, rows in self._rows_of_each(rollout)
            if isinstance(change.site, Attention)
            and layer in selected("layer", change.site.layers, self.model.n_layers)
        ]
        by_head = any(site.heads is not None for _, site, _ in changes)
        result = scores = whole(scores, self.model, by_head)
        for change, site, all_rows in changes:
            heads = selected("head", site.heads, scores.shape[1])
            for thought in change.thoughts:
                rows = [row for row in all_rows if thought < lengths[row]]
                queries = [
                    query
                    for query in range(scores.shape[2])
                    if site.asks(layout, first + query, thought)
                ]
                if queries and rows:
                    result = result.clone() if result is scores else result
                    key = layout.columns(Thought(thought)).start
                    where = (
                        torch.tensor(rows)[:, None, None],
                        torch.tensor(heads)[:, None],
                        torch.tensor(queries),
                    )
                    context = Context(rollout.problems[rows[0]].id, thought, self.seed, self.clean)
                    result[*where, key] = change.corruption(result[*where, key], context)
        return result

    def _rollout(self) -> Rollout:
        rollout = self.model.running
        assert rollout is not None
        return rollout

    def _thought(self) -> tuple[Rollout, int]:
        rollout = self._rollout()
        assert isinstance(rollout.stage, Thought)
        return rollout, rollout.stage.index

    def _rows_of_each(self, rollout: Rollout) -> list[tuple[Intervention, list[int]]]:
        """Return each different intervention with its rows."""
        n_rows = len(rollout.problems)
        if isinstance(self.interventions, Intervention):
            return [(self.interventions, list(range(n_rows)))]
        if len(self.interventions) < n_rows:
            raise ValueError(
                f"There are {len(self.interventions)} interventions for {n_rows} rows."
            )
        rows: dict[int, list[int]] = {id(change): [] for change in self.different}
        for row, change in enumerate(self.interventions[:n_rows]):
            rows[id(change)].append(row)
        return [(change, rows[id(change)]) for change in self.different if rows[id(change)]]


def _corrupted(change: Intervention, before: Tensor, contexts: Sequence[Context]) -> Tensor:
    """Return what a corruption makes of the activations of several problems."""
    many = getattr(change.corruption, "many", None)
    if many is not None:
        after = _of_shape(many(before, contexts), before, change)
    else:
        each = [
            _of_shape(change.corruption(activation, context), activation, change)
            for activation, context in zip(before, contexts, strict=True)
        ]
        after = torch.stack(each)
    if not torch.isfinite(after).all():
        raise ValueError(
            f"The corruption {label_of(change.corruption)} returned NaN or infinity. Return "
            "finite numbers."
        )
    return after


def _of_shape(after: object, before: Tensor, change: Intervention) -> Tensor:
    """Return what a corruption made of an activation, if it has kept the shape."""
    if not isinstance(after, Tensor) or after.shape != before.shape:
        returned = tuple(after.shape) if isinstance(after, Tensor) else type(after)
        raise ValueError(
            f"The corruption {label_of(change.corruption)} returned {returned}; it must return a "
            f"tensor of the shape that it was given, {tuple(before.shape)}."
        )
    return after
