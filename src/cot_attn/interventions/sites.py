"""Where an intervention acts on a thought.

=====================  ============================================================================
site                   what is changed there
=====================  ============================================================================
``"input"``            the vector that is fed, behind the projection
``"hidden"``           the hidden state that becomes the thought, before the projection
any hook name          that activation while the thought is fed, such as ``"blocks.1.hook_out"``
``Hook(name, heads)``  the same for chosen heads, such as those of ``"blocks.1.attn.hook_z"``
``"kv"``               the thought's keys and values, before rotation; see `KeysValues`
``"attention"``        the attention that later positions pay to the thought; see `Attention`
=====================  ============================================================================
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.models.stages import Layout, Thought
from cot_attn.recording.selection import selected

NAMES = {"input": "feedback.hook_out", "hidden": "feedback.hook_in"}
_OVER_KEYS = ("hook_pattern", "hook_attn_scores")


@dataclass(frozen=True)
class Hook:
    """A TransformerLens hook, while the thought is fed.

    Parameters
    ----------
    name
        The hook's name.
    heads
        Which heads, where the activation has them (`hook_z`, `hook_q`, and as kv heads `hook_k`,
        `hook_v`); by default everything.

    Examples
    --------
    >>> Hook("blocks.1.attn.hook_z", heads=[0, 2]).label
    'blocks.1.attn.hook_z (heads 0, 2)'
    """

    name: str
    heads: tuple[int, ...] | None

    def __init__(self, name: str, heads: Iterable[int] | None = None) -> None:
        object.__setattr__(self, "name", NAMES.get(name, name))
        object.__setattr__(self, "heads", None if heads is None else tuple(heads))

    @property
    def label(self) -> str:
        """The name in results."""
        names = {hook: name for name, hook in NAMES.items()}
        return names.get(self.name, self.name) + _in_brackets(heads=self.heads)

    def hooks(self, model: ContinuousThoughtModel) -> tuple["Hook", ...]:
        """Return the hooks that the site consists of: itself."""
        return (self,)

    def check(self, model: ContinuousThoughtModel) -> None:
        """Raise where the model has no such hook, or it does not see one thought of each problem.

        Raises
        ------
        KeyError
            Where there is no such hook; near names are suggested.
        ValueError
            Where it never fires on a thought, or has no such heads.
        """
        if self.name.endswith(_OVER_KEYS):
            raise ValueError(
                f"{self.name!r} runs over keys, whose number differs from problem to problem. Use "
                "the site Attention(layers, heads, queries) with the corruption KnockOut()."
            )
        shape = _shape_on_thoughts(model, self.name)
        if shape is None:
            raise ValueError(
                f"{self.name!r} never fires on a thought: a thought is fed as a vector and passes "
                "no token embedding, and hooks that TransformerLens has switched off stay silent. "
                "Use 'input', 'hidden', 'kv' or a hook such as 'blocks.0.hook_out'."
            )
        one_each = shape[0] == _PROBES and (len(shape) == 2 or shape[1] == 1)
        if not one_each:
            raise ValueError(
                f"{self.name!r} has the shape {shape} for {_PROBES} problems and one thought. "
                "Accepted are hooks of shape (batch, 1, ...), such as 'blocks.0.hook_out'."
            )
        if self.heads is not None:
            if len(shape) != 4:
                raise ValueError(
                    f"{self.name!r} has the shape {shape}, which has no heads; leave heads out."
                )
            selected("head", self.heads, shape[2])


INPUT, HIDDEN = Hook("input"), Hook("hidden")


@dataclass(frozen=True)
class KeysValues:
    """The thought's keys and values at chosen layers, before rotation, its own row included.

    A rotary model turns keys by their position: what moves between positions must be taken before
    that.

    Parameters
    ----------
    layers, heads
        Which ones; by default all. With grouped-query attention, heads are the kv heads.
    """

    layers: tuple[int, ...] | None
    heads: tuple[int, ...] | None

    def __init__(
        self, layers: Iterable[int] | None = None, heads: Iterable[int] | None = None
    ) -> None:
        object.__setattr__(self, "layers", None if layers is None else tuple(layers))
        object.__setattr__(self, "heads", None if heads is None else tuple(heads))

    @property
    def label(self) -> str:
        """The name in results."""
        return "kv" + _in_brackets(layers=self.layers, heads=self.heads)

    def hooks(self, model: ContinuousThoughtModel) -> tuple[Hook, ...]:
        """Return the hooks that the site consists of."""
        return tuple(
            Hook(f"blocks.{layer}.attn.hook_{each}", self.heads)
            for layer in selected("layer", self.layers, model.n_layers)
            for each in "kv"
        )

    def check(self, model: ContinuousThoughtModel) -> None:
        """Raise where a layer or head does not exist."""
        for hook in self.hooks(model)[:2]:
            hook.check(model)


@dataclass(frozen=True)
class Attention:
    """The attention that later positions pay to the thought, for the corruption `KnockOut`.

    Parameters
    ----------
    layers, heads
        Which ones; by default all.
    queries
        From where, out of `thought 1` .. , `eot` and `answer`; by default from every later
        position. The thought's attention to itself stays.
    """

    layers: tuple[int, ...] | None
    heads: tuple[int, ...] | None
    queries: tuple[str, ...] | None

    def __init__(
        self,
        layers: Iterable[int] | None = None,
        heads: Iterable[int] | None = None,
        queries: Iterable[str] | None = None,
    ) -> None:
        object.__setattr__(self, "layers", None if layers is None else tuple(layers))
        object.__setattr__(self, "heads", None if heads is None else tuple(heads))
        object.__setattr__(self, "queries", None if queries is None else tuple(queries))

    @property
    def label(self) -> str:
        """The name in results."""
        return "attention" + _in_brackets(
            layers=self.layers, heads=self.heads, queries=self.queries
        )

    def hooks(self, model: ContinuousThoughtModel) -> tuple[Hook, ...]:
        """Return the hooks whose activations can be replaced: none."""
        return ()

    def check(self, model: ContinuousThoughtModel) -> None:
        """Raise where a layer, head or query does not exist."""
        selected("layer", self.layers, model.n_layers)
        selected("head", self.heads, model.n_heads)
        possible = [*(f"thought {i}" for i in range(1, model.n_thoughts)), "eot", "answer"]
        unknown = [query for query in self.queries or () if query not in possible]
        if unknown or self.queries == ():
            raise ValueError(
                f"queries are {list(self.queries or ())}; accepted: {', '.join(possible)}."
            )

    def asks(self, layout: Layout, column: int, thought: int) -> bool:
        """Whether the position at a column loses its attention to a thought."""
        if column <= layout.columns(Thought(thought)).start:
            return False
        if self.queries is None:
            return True
        if column < layout.thoughts.stop:
            return f"thought {column - layout.thoughts.start}" in self.queries
        return ("eot" if column < layout.eot.stop else "answer") in self.queries


Site = Hook | KeysValues | Attention


def as_site(site: Site | str) -> Site:
    """Return the site that a string stands for."""
    if not isinstance(site, str):
        return site
    if site == "kv":
        return KeysValues()
    return Attention() if site == "attention" else Hook(site)


_PROBES = 2


def _shape_on_thoughts(model: ContinuousThoughtModel, name: str) -> tuple[int, ...] | None:
    """Run two tiny questions with one thought and return the shape that a hook has on it."""
    shapes: list[tuple[int, ...]] = []

    def note(activation: Tensor, hook: object) -> None:
        shapes.append(tuple(activation.shape))

    with model.isolated(), model.hooks([(name, note)], stages=[Thought(0)]):
        model.think([torch.tensor([0])] * _PROBES, n_thoughts=1)
    return shapes[0] if shapes else None


def _in_brackets(**parts: tuple[object, ...] | None) -> str:
    given = [
        f"{name} {', '.join(map(str, values))}"
        for name, values in parts.items()
        if values is not None
    ]
    return f" ({'; '.join(given)})" if given else ""
