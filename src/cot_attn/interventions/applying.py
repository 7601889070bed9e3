"""Carrying interventions out while a model thinks."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor

from cot_attn.interventions._masking import Scores, scores_changed, whole
from cot_attn.interventions.context import Place, Reference
from cot_attn.interventions.corruption import label as label_of
from cot_attn.interventions.intervention import Intervention
from cot_attn.interventions.sites import Attention, Hook
from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.models.finite import NotFiniteError
from cot_attn.models.rollout import Rollout
from cot_attn.models.stages import Thought
from cot_attn.recording.selection import selected


@contextmanager
def treated(
    model: ContinuousThoughtModel,
    interventions: Sequence[Intervention] | Intervention,
    reference: Reference,
    *,
    seed: int = 0,
) -> Iterator[ContinuousThoughtModel]:
    """Carry interventions out in everything the model runs while the context lasts.

    Parameters
    ----------
    model
        The model.
    interventions
        One for all rows of a batch, or one for each row; the first of them may run alone.
    reference
        The baselines that the interventions need, of the problems that will be run and of donors;
        see `collect`.
    seed
        For the random ones among the corruptions.
    """
    treatment = _Treatment(model, interventions, reference, seed)
    different = treatment.different
    hooks: list[tuple[str, Callable[..., Tensor]]] = []
    for restored in {each.restored_at for each in different if each.downstream == "frozen"}:
        hooks.append((restored.name, partial(treatment.restore, restored)))
    places = {hook for each in different for hook in each.site.hooks(model)}
    for place in sorted(places, key=lambda each: each.label):
        hooks.append((place.name, partial(treatment.corrupt, place)))
    masked = {
        layer
        for each in different
        if isinstance(each.site, Attention)
        for layer in selected("layer", each.site.layers, model.n_layers)
    }
    try:
        with model.hooks(hooks), scores_changed(model, masked, treatment.mask):
            yield model
    except NotFiniteError as error:
        own = interventions if isinstance(interventions, Intervention) else interventions[error.row]
        raise NotFiniteError(f"{error} This row carries out {own.label!r}.", error.row) from error


class _Treatment:
    """What is done to the rows of a batch, hook by hook."""

    def __init__(
        self,
        model: ContinuousThoughtModel,
        interventions: Sequence[Intervention] | Intervention,
        reference: Reference,
        seed: int,
    ) -> None:
        self.model, self.reference, self.seed = model, reference, seed
        self.interventions = interventions
        each = [interventions] if isinstance(interventions, Intervention) else interventions
        self.different = list({id(change): change for change in each}.values())
        self._hooks = {id(change): set(change.site.hooks(model)) for change in self.different}

    def restore(self, place: Hook, activation: Tensor, hook: object) -> Tensor:
        """Put the baseline back into the later thoughts of frozen rows."""
        rollout, thought = self._thought()
        rows = [
            row
            for change, rows in self._groups(rollout)
            if change.downstream == "frozen" and change.restored_at == place
            for row in rows
            if thought > change.thoughts[0]
        ]
        if not rows:
            return activation
        ids = [rollout.problems[row].id for row in rows]
        result = activation.clone()
        result[rows] = self.reference.at(place)[self.reference.rows(ids), thought].to(result)
        return result

    def corrupt(self, place: Hook, activation: Tensor, hook: object) -> Tensor:
        """Replace a hook's activation in the rows that change this thought there."""
        if not isinstance(self._rollout().stage, Thought):
            return activation
        rollout, thought = self._thought()
        result = activation.clone()
        own = result if result.ndim == 2 else result[:, 0]
        heads = None if place.heads is None else torch.tensor(place.heads, device=own.device)
        for change, rows in self._groups(rollout):
            if thought in change.thoughts and place in self._hooks[id(change)]:
                at = torch.tensor(rows, device=own.device)
                where = (at,) if heads is None else (at[:, None], heads)
                ids = [rollout.problems[row].id for row in rows]
                own[where] = self._corrupted(change, own[where], ids, thought, place)
        return result

    def _corrupted(
        self, change: Intervention, before: Tensor, ids: Sequence[str], thought: int, place: Hook
    ) -> Tensor:
        """Return what a corruption makes of the activations of several problems."""
        places = [Place(problem, thought, self.seed, self.reference, place) for problem in ids]
        many = getattr(change.corruption, "many", None)
        if many is not None:
            values = _of_shape(many(before, places), before, change)
        else:
            pairs = zip(before, places, strict=True)
            each = [_of_shape(change.corruption(own, at), own, change) for own, at in pairs]
            values = torch.stack(each)
        if not torch.isfinite(values).all():
            raise ValueError(
                f"The corruption {label_of(change.corruption)} returned NaN or infinity. Return "
                "finite numbers."
            )
        return values

    def mask(self, layer: int, scores: Scores) -> Scores:
        """Take attention to changed thoughts away from the queries that come later."""
        rollout = self._rollout()
        layout = rollout.layout
        first = scores.shape[3] - scores.shape[2]
        changes = [
            (change, change.site, rows)
            for change, rows in self._groups(rollout)
            if isinstance(change.site, Attention)
            and layer in selected("layer", change.site.layers, self.model.n_layers)
        ]
        by_head = any(site.heads is not None for _, site, _ in changes)
        result = scores = whole(scores, self.model, by_head)
        for change, site, rows in changes:
            heads = selected("head", site.heads, scores.shape[1])
            for thought in change.thoughts:
                queries = [
                    query
                    for query in range(scores.shape[2])
                    if site.asks(layout, first + query, thought)
                ]
                if queries:
                    result = result.clone() if result is scores else result
                    key = layout.columns(Thought(thought)).start
                    where = (
                        torch.tensor(rows)[:, None, None],
                        torch.tensor(heads)[:, None],
                        torch.tensor(queries),
                    )
                    place = Place(rollout.problems[rows[0]].id, thought, self.seed, self.reference)
                    result[*where, key] = change.corruption(result[*where, key], place)
        return result

    def _rollout(self) -> Rollout:
        rollout = self.model.running
        assert rollout is not None
        return rollout

    def _thought(self) -> tuple[Rollout, int]:
        rollout = self._rollout()
        assert isinstance(rollout.stage, Thought)
        return rollout, rollout.stage.index

    def _groups(self, rollout: Rollout) -> list[tuple[Intervention, list[int]]]:
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


def _of_shape(after: object, before: Tensor, change: Intervention) -> Tensor:
    """Return what a corruption made of an activation, if it has kept the shape."""
    if not isinstance(after, Tensor) or after.shape != before.shape:
        given = tuple(after.shape) if isinstance(after, Tensor) else type(after)
        raise ValueError(
            f"The corruption {label_of(change.corruption)} returned {given}; it must return a "
            f"tensor of the shape that it was given, {tuple(before.shape)}."
        )
    return after
