"""Numbers of a run are finite, or the run ends with an error that names the problem."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from einops import reduce
from jaxtyping import Float
from torch import Tensor
from transformer_lens.hook_points import HookPoint

from cot_attn.data.problem import Problem
from cot_attn.models._hook_points import remove
from cot_attn.models.stages import Stage


class NotFiniteError(ValueError):
    """NaN or infinity where a model computes.

    Attributes
    ----------
    row
        The first row of the batch in which it was found.
    """

    def __init__(self, message: str, row: int) -> None:
        super().__init__(message)
        self.row = row


def check_finite(
    what: str, values: Float[Tensor, "batch *width"], problems: Sequence[Problem], stage: Stage
) -> None:
    """Raise where a row holds NaN or infinity.

    Parameters
    ----------
    what
        What the values are.
    values
        One row for each problem.
    problems
        What the rows are about.
    stage
        Where the run stands.

    Raises
    ------
    NotFiniteError
        With the first such problem, and the stage.
    """
    # One number says whether all are finite; only a sum that overflows needs a second look.
    if values.sum(dtype=torch.float32).isfinite():
        return
    bad = reduce(~values.isfinite(), "row ... -> row", "any")
    if not bad.any():
        return
    row = int(bad.long().argmax())
    several = f" (and {int(bad.sum()) - 1} more)" if bad.sum() > 1 else ""
    raise NotFiniteError(
        f"{what} of problem {problems[row].id!r}{several} at {stage} are NaN or infinite"
        f" in {values.dtype}. Every number after them would be wrong. Where nothing changes the "
        "run, load the model with dtype=torch.float32, which overflows less easily, and look for "
        "damage in its weights; where a hook or an intervention does, make that return less.",
        row,
    )


@contextmanager
def finite_scores(points: Iterable[HookPoint]) -> Iterator[None]:
    """Keep masked attention scores within float32's range while the context lasts.

    A float64 model masks with its own least number, and takes its softmax in float32 (Llama and
    others, in Hugging Face as well), where that number is minus infinity: a padding position, all
    of whose keys are masked, becomes NaN, and what is NaN is not forgotten when it is masked.
    """
    with ExitStack() as stack:
        for point in points:
            if str(point.name).endswith("attn.hook_attn_scores"):
                stack.callback(remove, point, point.add_hook(_clamped, prepend=True))
        yield


def _clamped(scores: Tensor, hook: object) -> Tensor:
    return scores.clamp(min=torch.finfo(torch.float32).min)
