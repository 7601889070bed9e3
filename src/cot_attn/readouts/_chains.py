"""The later tokens of a long word, forced through the model from the places of a run."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from cot_attn.data.problem import Problem
from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.models.rollout import Rollout
from cot_attn.readouts._ranks import ranks
from cot_attn.recording._places import VALUE

Tokens = tuple[int, ...]
Said = dict[tuple[int, Tokens], tuple[np.ndarray, np.ndarray]]
"""By problem and tokens: log-probability and rank over (layer, place)."""
ROWS_AT_ONCE = 256
PROBLEMS_AT_ONCE = 64


@torch.no_grad()
def said_from(
    model: ContinuousThoughtModel,
    problems: Sequence[Problem],
    n_thoughts: int,
    layers: Sequence[int],
    places: Sequence[str],
    before_value: Sequence[int | None],
    asked: Mapping[int, set[Tokens]],
    read: Callable[[Float[Tensor, "n layer d_model"]], Float[Tensor, "n layer token"]],
) -> Said:
    """Say tokens at every place, and read from each layer how likely each is behind the others.

    The first token is fed at the position after the place, and is not scored here: a lens reads it
    from the state at the place itself.

    Parameters
    ----------
    model, problems, n_thoughts
        What is run again.
    layers, places
        Where the tokens are read and said.
    before_value
        How many answer tokens each problem says before its value, None where it has none.
    asked
        By the number of a problem, the tokens (two or more) to say after each of its places.
    read
        Gives log-probabilities from states.

    Returns
    -------
    dict
        The sum of the later tokens' log-probabilities and the worst of their ranks; NaN at
        `answer_value` where a problem has none.
    """
    said: Said = {
        (number, tokens): (shape, shape.copy())
        for number, several in asked.items()
        for tokens in several
        for shape in [np.full((len(layers), len(places)), np.nan)]
    }
    numbers = sorted(number for number, several in asked.items() if several)
    with model.isolated(), _States(model, layers) as states:
        for start in range(0, len(numbers), PROBLEMS_AT_ONCE):
            batch = numbers[start : start + PROBLEMS_AT_ONCE]
            some = [problems[number] for number in batch]
            lengths = [before_value[number] for number in batch] if VALUE in places else []
            for place, at, rows in _places(model, some, n_thoughts, lengths):
                if place not in places:
                    continue
                column = list(places).index(place)
                work = [
                    (index, row, tokens)
                    for index, row in enumerate(rows)
                    for tokens in sorted(asked[batch[row]])
                ]
                for first in range(0, len(work), ROWS_AT_ONCE):
                    part = work[first : first + ROWS_AT_ONCE]
                    branch = at.branch(torch.tensor([index for index, _, _ in part]))
                    found = _say(branch, [tokens for _, _, tokens in part], states, read)
                    for (_, row, tokens), logprob, rank in zip(part, *found, strict=True):
                        table = said[batch[row], tokens]
                        table[0][:, column], table[1][:, column] = logprob, rank
    return said


def _places(
    model: ContinuousThoughtModel,
    problems: Sequence[Problem],
    n_thoughts: int,
    before_value: Sequence[int | None],
) -> Iterator[tuple[str, Rollout, list[int]]]:
    """Run problems, and stop at every place with the problems that stand there."""
    known, tokens = model.encode(problems, n_thoughts=n_thoughts)
    rollout, everybody = model.rollout(known, tokens, n_thoughts), list(range(len(known)))
    rollout.read()
    yield "bot", rollout, everybody
    for index in range(n_thoughts):
        rollout.think(index)
        yield f"thought {index}", rollout, everybody
    rollout.close()
    yield "eot", rollout, everybody
    lengths = sorted({length for length in before_value if length is not None})
    if not lengths:
        return
    said = model.run(problems, n_thoughts=n_thoughts, max_new_tokens=lengths[-1]).answer_tokens
    for length in lengths:
        rows = [row for row, each in enumerate(before_value) if each == length]
        branch = rollout.branch(torch.tensor(rows))
        if length:
            words = torch.tensor([said[row][:length] for row in rows], device=model.device)
            branch.answer(0, words, torch.ones_like(words, dtype=torch.bool))
        yield VALUE, branch, rows


def _say(
    branch: Rollout,
    chains: Sequence[Tokens],
    states: "_States",
    read: Callable[[Float[Tensor, "n layer d_model"]], Float[Tensor, "n layer token"]],
) -> tuple[Float[np.ndarray, "row layer"], Float[np.ndarray, "row layer"]]:
    """Feed all tokens but the last of each chain; score each that is not the first."""
    device = branch.hidden.device
    width = max(map(len, chains)) - 1
    fed = [[*tokens[:-1], *[tokens[0]] * (width + 1 - len(tokens))] for tokens in chains]
    real = [[column < len(tokens) - 1 for column in range(width)] for tokens in chains]
    seen = states.of(branch, torch.tensor(fed, device=device), torch.tensor(real, device=device))
    logprob = np.zeros((len(chains), len(states.layers)))
    rank = np.zeros_like(logprob)
    for column in range(width):
        rows = [row for row, tokens in enumerate(chains) if len(tokens) > column + 1]
        scores = read(seen[rows, :, column])
        n_tokens = scores.shape[-1]
        wanted: Int[Tensor, "row layer"] = torch.tensor(
            [[chains[row][column + 1]] * len(states.layers) for row in rows], device=scores.device
        )
        own = scores.gather(-1, wanted[..., None])[..., 0]
        places = ranks(scores.reshape(-1, n_tokens), wanted.reshape(-1, 1)).view(wanted.shape)
        logprob[rows] += own.cpu().numpy()
        rank[rows] = np.maximum(rank[rows], places.cpu().numpy())
    return logprob, rank


class _States:
    """Keeps the residual stream of what one rollout is fed."""

    def __init__(self, model: ContinuousThoughtModel, layers: Sequence[int]) -> None:
        self.layers = list(layers)
        self._model = model
        self._watched: Rollout | None = None
        self._kept: list[Tensor] = []

    def __enter__(self) -> "_States":
        names = [f"blocks.{layer}.hook_out" for layer in self.layers]
        self._context = self._model.hooks([(name, self._keep) for name in names])
        self._context.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._context.__exit__(*error)

    def of(
        self, branch: Rollout, tokens: Int[Tensor, "row width"], real: Tensor
    ) -> Float[Tensor, "row layer width d_model"]:
        """Feed tokens to a rollout and return the streams behind each of them."""
        self._watched, self._kept = branch, []
        branch.answer(0, tokens, real)
        self._watched = None
        return torch.stack(self._kept, dim=1)

    def _keep(self, state: Tensor, hook: Any) -> None:
        if self._watched is not None and self._model.running is self._watched:
            self._kept.append(state)
