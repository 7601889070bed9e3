"""Carrying interventions out while a model thinks."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor

from cot_attn.data.problem import Problem
from cot_attn.interventions.corruption import label as label_of
from cot_attn.interventions.intervention import HOOK_NAMES, Intervention
from cot_attn.interventions.place import Place, Reference
from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.models.stages import Thought


def collect(
    model: ContinuousThoughtModel,
    problems: Sequence[Problem],
    *,
    donors: Sequence[Problem] | None = None,
    batch_size: int = 64,
) -> Reference:
    """Run problems unchanged and keep the vectors that are fed.

    Parameters
    ----------
    model
        The model.
    problems
        The problems whose baselines are needed.
    donors
        The problems that may donate; by default the same ones.
    batch_size
        How many problems think at once.
    """
    donors = problems if donors is None else donors
    everything = {problem.id: problem for problem in [*donors, *problems]}
    ids = sorted(everything)
    run = model.think([everything[problem] for problem in ids], batch_size=batch_size)
    return Reference(tuple(ids), run.thoughts, frozenset(problem.id for problem in donors))


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
        One for all rows of a batch, or one for each row.
    reference
        The baselines of the problems that will be run, and the donors.
    seed
        For the random ones among the corruptions.
    """

    def treat(fed: Float[Tensor, "batch d_model"], hook: object) -> Float[Tensor, "batch d_model"]:
        rollout = model.running
        assert rollout is not None
        assert isinstance(rollout.stage, Thought)
        thought = rollout.stage.index
        ids = [problem.id for problem in rollout.problems]
        each = (
            [interventions] * len(ids) if isinstance(interventions, Intervention) else interventions
        )
        if len(each) != len(ids):
            raise ValueError(f"There are {len(each)} interventions for {len(ids)} rows.")
        result = fed.clone()
        frozen = [
            row
            for row, change in enumerate(each)
            if change.downstream == "frozen" and thought > change.thoughts[0]
        ]
        if frozen:
            rows = reference.rows([ids[row] for row in frozen])
            result[frozen] = reference.activations[rows, thought].to(result)
        for row, change in enumerate(each):
            if thought in change.thoughts:
                place = Place(ids[row], thought, seed, reference)
                result[row] = _checked(change, change.corruption(result[row], place), result[row])
        return result

    with model.hooks([(HOOK_NAMES["input"], treat)]):
        yield model


def _checked(change: Intervention, corrupted: object, activation: Tensor) -> Tensor:
    name = label_of(change.corruption)
    if not isinstance(corrupted, Tensor) or corrupted.shape != activation.shape:
        given = tuple(corrupted.shape) if isinstance(corrupted, Tensor) else type(corrupted)
        raise ValueError(
            f"The corruption {name} returned {given}; it must return a tensor of the shape that "
            f"it was given, {tuple(activation.shape)}."
        )
    if not torch.isfinite(corrupted).all():
        raise ValueError(f"The corruption {name} returned NaN or infinity. Return finite numbers.")
    return corrupted
