"""A model checks itself once: that hooks see, and change, what they say they do."""

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from einops import repeat
from torch import Tensor

from cot_attn.data.problem import Problem
from cot_attn.models.finite import NotFiniteError
from cot_attn.models.hooks import HookedModel, HookFunction, on_its_own_account
from cot_attn.models.jacobi import Jacobi
from cot_attn.models.questions import check_room
from cot_attn.models.rollout import Rollout
from cot_attn.models.stages import Prompt, Stage, Thought

# Two questions of different lengths, so that one of them is padded.
_LENGTHS = (5, 3)
_N_THOUGHTS = 2
_SUMS = "attention rows sum to 1"
_CHANGES = "a change of a thought's input changes the hidden state of its column"
_RESTORES = "putting an activation back changes nothing"
_REPEATS = "two runs agree"
_DEPARTS = "a padded row that departs from a forced answer goes on as it does alone"
Edit = tuple[str, HookFunction]
CHECKS = (_SUMS, _REPEATS, _CHANGES, _RESTORES, _DEPARTS)


@dataclass
class _Seen:
    """What hooks saw in one short run."""

    patterns: list[Tensor] = field(default_factory=list)
    short: int = 0  # how many columns a row lacks
    hidden: Tensor | None = None  # where thought 0 was fed
    residual: Tensor | None = None  # in the middle of the model, there
    logits: Tensor | None = None


@on_its_own_account
@torch.no_grad()
def validate(model: HookedModel) -> tuple[str, ...]:
    """Check a model with six short runs and return the names of the checks that it passed.

    A model that fails is not safe to record or to intervene on: its hooks do not see what the
    model computes with, or it is not deterministic. Hooks that are on the model play no part.

    Raises
    ------
    ValueError
        With the name of the first check that fails.

    Examples
    --------
    >>> from cot_attn.toy import handmade_model
    >>> validate(handmade_model())[:2]
    ('attention rows sum to 1', 'two runs agree')
    """
    try:
        rollout = _read(model, slice(None))
        first = _observe(model, rollout)
    except NotFiniteError as error:
        what = "the logits are not finite; try dtype=torch.float32"
        raise _failed(model, _SUMS, what) from error
    tolerance = 1e-4 if model.dtype in (torch.float32, torch.float64) else 2e-2
    off = [float((each.sum(dim=-1) - 1).abs().max()) for each in first.patterns]
    if len(off) < 2 * model.n_layers:
        raise _failed(model, _SUMS, f"{len(off)} of {2 * model.n_layers} attention rows were seen")
    if not max(off) <= tolerance:
        raise _failed(model, _SUMS, f"a row is off by {max(off):.2g}")
    if first.short:
        what = f"a thought does not see {first.short} columns before it, as without a cache"
        raise _failed(model, _SUMS, what)
    _check_same(model, _REPEATS, first, _observe(model, _read(model, slice(None))), tolerance)
    # The prompt comes before any change, and thoughts before any answer: they are there already.
    again = partial(rollout.branch, torch.arange(len(_LENGTHS), device=model.device))
    nudge: Edit = ("feedback.hook_out", lambda fed, hook: fed + _size(fed))
    nudged = _observe(model, again(after=Prompt()), nudge)
    assert first.hidden is not None
    if not _differs(first.hidden, nudged.hidden).all():
        raise _failed(model, _CHANGES, "the hidden state stayed the same to the last bit")
    put_back: Edit = (_middle(model), lambda residual, hook: first.residual)
    restored = _observe(model, again(after=Prompt()), put_back)
    _check_same(model, _RESTORES, first, restored, tolerance)
    change, size = _departure(model, again(after=Thought(_N_THOUGHTS - 1)))
    if not change <= 3 * tolerance * size:  # one pass over several tokens rounds otherwise
        raise _failed(model, _DEPARTS, f"the logits are off by {change:.2g}")
    return CHECKS


def _observe(model: HookedModel, rollout: Rollout, *edits: Edit) -> _Seen:
    """Feed the thoughts and EOT to a prompt that has been read, the first thought with edits."""
    seen = _Seen()
    thinking: list[Stage] = [Thought(0), Thought(1)]

    def pattern(rows: Tensor, hook: Any) -> None:
        seen.patterns.append(rows.float())
        assert model.running is not None
        n_columns = model.running.layout.columns(model.running.stage).stop
        seen.short = max(seen.short, n_columns - rows.shape[-1])

    def hidden(state: Tensor, hook: Any) -> None:
        seen.hidden = state.clone()

    def residual(state: Tensor, hook: Any) -> None:
        seen.residual = state.clone()

    # What thought 1 is made from is the hidden state where thought 0 was fed, in most loops.
    where, stage = "feedback.hook_in", Thought(1)
    if isinstance(model.feedback, Jacobi):
        where, stage = f"blocks.{model.n_layers - 1}.hook_out", Thought(0)
    with (
        model.hooks(edits, stages=[Thought(0)]),
        model.hooks([(lambda name: name.endswith("attn.hook_pattern"), pattern)], stages=thinking),
        model.hooks([(_middle(model), residual)], stages=[Thought(0)]),
        model.hooks([(where, hidden)], stages=[stage]),
    ):
        _think(rollout)
        seen.logits = rollout.close()
    return seen


def _departure(model: HookedModel, together: Rollout) -> tuple[float, float]:
    """Feed another token behind the first of three forced ones: to a batch, and to a row alone.

    This is how variants are run. A model that takes positions or distances from columns, where
    it is not told so, gives other logits in the batch.

    Returns
    -------
    tuple
        The greatest difference between the logits, and their greatest size.
    """
    n_rows = len(together.problems)
    forced = torch.tensor([1, 2, 0], device=model.device)
    other = torch.tensor([2], device=model.device)
    together.force_answer(*_in_rows(forced, n_rows))
    in_batch = together.truncated(n_rows, 1).answer(1, *_in_rows(other, n_rows))[-1, -1]
    alone = _read(model, slice(n_rows - 1, n_rows))
    _think(alone)
    alone.close()
    alone.answer(0, *_in_rows(forced[:1], 1))
    expected = alone.answer(1, *_in_rows(other, 1))[0, -1]
    return float((in_batch - expected).abs().max()), float(expected.abs().max())


def _in_rows(tokens: Tensor, n_rows: int) -> tuple[Tensor, Tensor]:
    """Return tokens for every row, and that each of them is real."""
    fed = repeat(tokens, "token -> row token", row=n_rows)
    return fed, torch.ones_like(fed, dtype=torch.bool)


def _read(model: HookedModel, rows: slice) -> Rollout:
    """Return chosen ones of two questions as they are when they have been read."""
    n_vocabulary = len(model.bridge.original_model.get_input_embeddings().weight)
    questions = [[token % n_vocabulary for token in range(length)] for length in _LENGTHS]
    problems = [Problem.from_text(" ".join(map(str, question))) for question in questions]
    check_room(problems, questions, model.template, model.n_context, _N_THOUGHTS, 4)
    with model.unstopped():
        rollout = model.rollout(problems[rows], questions[rows], _N_THOUGHTS)
    rollout.read()
    return rollout


def _think(rollout: Rollout) -> None:
    for index in range(_N_THOUGHTS):
        rollout.think(index)


def _check_same(model: HookedModel, check: str, one: _Seen, other: _Seen, tolerance: float) -> None:
    assert one.logits is not None
    assert other.logits is not None
    change = float((one.logits - other.logits).abs().max())
    if not change <= tolerance * float(one.logits.abs().max()):
        raise _failed(model, check, f"the logits moved by {change:.2g}")


def _middle(model: HookedModel) -> str:
    return f"blocks.{model.n_layers // 2}.hook_out"


def _size(vectors: Tensor) -> Tensor:
    return vectors.pow(2).mean().sqrt()


def _differs(one: Tensor, other: Tensor | None) -> Tensor:
    assert other is not None
    return (one != other).any(dim=-1)


def _failed(model: HookedModel, check: str, what: str) -> ValueError:
    return ValueError(
        f"{model.name} fails the check {check!r}: {what}. Attention and interventions would not "
        "mean what they say. With validate=False it loads all the same."
    )
