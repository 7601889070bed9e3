"""A lens that is trained to say at each layer what the model will say at its last."""

import json
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Int
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import kl_div

from cot_attn.data.problem import Problem, check_problems
from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.readouts._examples import folds_of
from cot_attn.readouts._positions import Positions, every_position
from cot_attn.readouts._spaces import HiddenReading
from cot_attn.readouts.grouping import question_groups
from cot_attn.stats.averages import mean_over_problems

FORMAT = "cot_attn tuned lens"
HELD_OUT = 5  # one in so many problems
POSITIONS_AT_ONCE = 256
NUMBERS_AT_ONCE = 2**23  # of logits
LENSES, PLACES = ("plain", "tuned"), ("everywhere", "thoughts")


class TunedLens:
    """An affine map for each layer but the last, from its states to those of the last layer.

    Read through it, an early layer says what the model goes on to say, as far as an affine map can
    tell. What it says may be the map's knowledge of the data and not the layer's: compare with the
    baseline, as with every lens.

    Source: Belrose et al. (2023), "Eliciting latent predictions from transformers with the tuned
    lens", arXiv:2303.08112.

    Attributes
    ----------
    weight, bias
        What is added to states, (layer, d_model, d_model) and (layer, d_model): a state h becomes
        h + W h + b.
    model, checkpoint
        The model that it was trained on.
    held_out
        Ids of the problems that it was not trained on.
    divergence
        How far each layer's words are from the last layer's, on those problems:
        `estimate`, `low`, `high` (nats, intervals over problems) and `n_problems` over
        (lens, layer, place): `lens` is "plain" or "tuned", `place` "everywhere" or "thoughts" (BOT,
        where the first is made, and thoughts).
    """

    def __init__(
        self,
        weight: Float[Tensor, "layer d_model d_model"],
        bias: Float[Tensor, "layer d_model"],
        model: str,
        checkpoint: str,
        held_out: Sequence[str],
        divergence: xr.Dataset,
    ) -> None:
        self.weight, self.bias = weight, bias
        self.model, self.checkpoint = model, checkpoint
        self.held_out = tuple(held_out)
        self.divergence = divergence

    def __repr__(self) -> str:
        return f"TunedLens({self.model}, {len(self.weight)} layers and the last)"

    @classmethod
    def fit(
        cls,
        model: ContinuousThoughtModel,
        problems: Sequence[Problem],
        *,
        n_epochs: int = 20,
        learning_rate: float = 1e-3,
        max_new_tokens: int = 32,
        batch_size: int = 64,
        seed: int = 0,
    ) -> "TunedLens":
        """Train the maps to give the model's own last distribution, at every position of its runs.

        Parameters
        ----------
        model
            The model.
        problems
            What it is run on. Every fifth group of questions (see `question_groups`) is held out,
            and says how far the lens is off.
        n_epochs, learning_rate
            How long it is trained, by Adam; the rate falls to 0.
        max_new_tokens, batch_size
            Of the runs.
        seed
            Of what is held out, and of the order of training.

        Raises
        ------
        ValueError
            Where the model has no unembedding or one layer only, or there are too few problems.
        MemoryError
            Where the states of all positions do not fit.

        Examples
        --------
        >>> from cot_attn import ContinuousThoughtModel, load_problems
        >>> from cot_attn.readouts import TunedLens
        >>> model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
        >>> lens = TunedLens.fit(model, load_problems("toy", n=60), n_epochs=2)
        >>> lens
        TunedLens(toy-gpt2, 3 layers and the last)
        """
        # In the order of their ids, so that no other order makes another lens.
        problems = sorted(check_problems(problems), key=lambda problem: problem.id)
        held_out = _held_out(problems, seed)
        if model.n_layers < 2:
            raise ValueError(f"{model.name} has one layer, whose lens is the model itself.")
        read = HiddenReading(model)
        every = every_position(
            model, problems, max_new_tokens=max_new_tokens, batch_size=batch_size
        )
        is_held_out = np.isin(every.problem, held_out)
        n_layers, d_model = model.n_layers - 1, model.d_model
        weight = torch.zeros(n_layers, d_model, d_model, requires_grad=True)
        bias = torch.zeros(n_layers, d_model, requires_grad=True)
        optimiser = torch.optim.Adam([weight, bias], learning_rate)
        trained = torch.from_numpy(np.flatnonzero(~is_held_out))
        n_steps = n_epochs * -(-len(trained) // POSITIONS_AT_ONCE)
        rate = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, max(n_steps, 1))
        order = torch.Generator().manual_seed(seed)
        with torch.enable_grad(), model.isolated():
            for _ in range(n_epochs):
                shuffled = trained[torch.randperm(len(trained), generator=order)]
                for batch in torch.split(shuffled, POSITIONS_AT_ONCE):
                    states = every.states[batch]
                    loss = sum_of_divergences(read, states, _mapped(states[:, :-1], weight, bias))
                    loss = loss / len(batch)
                    weight.grad, bias.grad = torch.autograd.grad(loss, [weight, bias])
                    optimiser.step()
                    rate.step()
        weight, bias = weight.detach(), bias.detach()
        ids = [problems[number].id for number in held_out]
        measured = _divergence(read, every, held_out, ids, weight, bias)
        return cls(weight, bias, model.name, model.checkpoint, ids, measured)

    @torch.no_grad()
    def translate(
        self, states: Float[Tensor, "*n layer d_model"], layers: Sequence[int]
    ) -> Float[Tensor, "*n layer d_model"]:
        """Return what states of some layers would be at the last one."""
        early = [index for index, layer in enumerate(layers) if layer < len(self.weight)]
        chosen = [layers[index] for index in early]
        weight, bias = (each[chosen].to(states.device) for each in (self.weight, self.bias))
        translated = states.float().clone()
        translated[..., early, :] = _mapped(translated[..., early, :], weight, bias)
        return translated

    def check(self, model: ContinuousThoughtModel) -> None:
        """Raise where it was trained on a model with other weights."""
        if model.checkpoint != self.checkpoint:
            raise ValueError(
                f"This lens was trained on {self.model} with the weights {self.checkpoint}; "
                f"{model.name} has {model.checkpoint}. Fit one to this model."
            )

    def save(self, path: str | PathLike[str]) -> None:
        """Write the lens as one safetensors file."""
        numbers = {
            f"divergence.{name}": torch.from_numpy(np.asarray(each.values, dtype=np.float64).copy())
            for name, each in self.divergence.data_vars.items()
        }
        told = {
            "format": FORMAT,
            "model": self.model,
            "checkpoint": self.checkpoint,
            "held_out": json.dumps(self.held_out),
        }
        save_file({"weight": self.weight, "bias": self.bias, **numbers}, path, told)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "TunedLens":
        """Read a lens that `save` wrote.

        Raises
        ------
        FileNotFoundError, ValueError
            Where there is no file, or it holds no lens.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f"{path} is no file. Give one that TunedLens.save wrote.")
        try:
            with safe_open(path, framework="pt") as file:
                told = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise ValueError(f"{path} is no safetensors file ({error}).") from error
        if told.get("format") != FORMAT:
            raise ValueError(f"{path} holds no tuned lens. Give a file that TunedLens.save wrote.")
        divergence = {
            name.removeprefix("divergence."): tensor.numpy()
            for name, tensor in tensors.items()
            if name.startswith("divergence.")
        }
        n_problems = {"n_problems": divergence.pop("n_problems").astype(int)}
        dataset = _labelled({**divergence, **n_problems}, len(tensors["weight"]))
        return cls(
            tensors["weight"],
            tensors["bias"],
            told["model"],
            told["checkpoint"],
            json.loads(told["held_out"]),
            dataset,
        )


def _mapped(
    states: Float[Tensor, "*n layer d_model"],
    weight: Float[Tensor, "layer d_model d_model"],
    bias: Float[Tensor, "layer d_model"],
) -> Float[Tensor, "*n layer d_model"]:
    return states + torch.einsum("...li,loi->...lo", states, weight) + bias


def sum_of_divergences(
    read: HiddenReading,
    states: Float[Tensor, "position layer d_model"],
    early: Float[Tensor, "position early d_model"],
) -> Float[Tensor, ""]:
    """Return the sum over positions and layers of KL(last layer || early layer), in nats."""
    return divergences(read, states, early).sum()


def divergences(
    read: HiddenReading,
    states: Float[Tensor, "position layer d_model"],
    early: Float[Tensor, "position early d_model"],
) -> Float[Tensor, "position early"]:
    """Return KL(last layer || early layer) of every position and layer, in nats."""
    with torch.no_grad():
        last = read(states[:, -1])[:, None]
    said = read.log_probabilities(early.flatten(0, 1)).view(*early.shape[:2], -1)
    return kl_div(said, last.expand_as(said), reduction="none", log_target=True).sum(dim=-1)


@torch.no_grad()
def _divergence(
    read: HiddenReading,
    every: Positions,
    held_out: Int[np.ndarray, " problem"],
    ids: Sequence[str],
    weight: Float[Tensor, "layer d_model d_model"],
    bias: Float[Tensor, "layer d_model"],
) -> xr.Dataset:
    """Measure both lenses on problems that were held out: the mean of means over positions."""
    n_layers = len(weight)
    table = np.full((len(held_out), len(LENSES), n_layers, len(PLACES)), np.nan)
    size = max(1, NUMBERS_AT_ONCE // (n_layers * read.n_tokens))
    for row, problem in enumerate(held_out):
        rows = every.problem == problem
        states, is_thought = every.states[torch.from_numpy(rows)], every.is_thought[rows]
        for index in range(len(LENSES)):
            parts = []
            for chunk in torch.split(states, size):
                early = chunk[:, :-1] if index == 0 else _mapped(chunk[:, :-1], weight, bias)
                parts.append(divergences(read, chunk, early))
            found = torch.cat(parts).cpu().numpy()
            table[row, index, :, 0] = found.mean(axis=0)
            if is_thought.any():
                table[row, index, :, 1] = found[is_thought].mean(axis=0)
    dims = ("problem", "lens", "layer", "place")
    coords = {"problem": list(ids), "lens": list(LENSES), "place": list(PLACES)}
    values = xr.DataArray(table, {**coords, "layer": range(n_layers)}, dims)
    measured = mean_over_problems(values)
    return _labelled(
        {str(name): each.values for name, each in measured.data_vars.items()}, n_layers
    )


def _labelled(numbers: dict[str, np.ndarray], n_layers: int) -> xr.Dataset:
    dims = ("lens", "layer", "place")
    return xr.Dataset(
        {name: (dims, each) for name, each in numbers.items()},
        coords={"lens": list(LENSES), "layer": range(n_layers), "place": list(PLACES)},
        attrs={"unit": "nats", "of": "KL(last layer || layer)", "confidence": 0.95},
    )


def _held_out(problems: Sequence[Problem], seed: int) -> Int[np.ndarray, " problem"]:
    """Choose the problems that say how far the lens is off; groups stay together."""
    groups = question_groups([problem.question for problem in problems])
    if len(np.unique(groups)) < HELD_OUT:
        raise ValueError(
            f"{len(problems)} problems make {len(np.unique(groups))} groups of questions that "
            f"differ in more than numbers; at least {HELD_OUT} are needed, so that one can be held "
            "out. Give more problems."
        )
    return np.flatnonzero(folds_of(groups, HELD_OUT, seed) == 0)
