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

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

from cot_attn.interventions._probe import Point, seen_on_thoughts, unheeded
from cot_attn.interventions.masking import Heads, unmasked
from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.models.layout import Layout
from cot_attn.models.stages import Thought
from cot_attn.recording.selection import Indices, indices, selected

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

    def __init__(self, name: str, heads: Indices | None = None) -> None:
        object.__setattr__(self, "name", NAMES.get(name, name))
        object.__setattr__(self, "heads", None if heads is None else indices("head", heads))

    @property
    def label(self) -> str:
        """The name in results."""
        names = {hook: name for name, hook in NAMES.items()}
        return names.get(self.name, self.name) + _in_brackets(heads=self.heads)

    def hooks(self, model: ContinuousThoughtModel) -> tuple["Hook", ...]:
        """Return the hooks that the site consists of: itself."""
        return (self,)

    def check(self, model: ContinuousThoughtModel) -> None:
        """Raise where the model has no such hook, or does not compute with what is put there.

        Raises
        ------
        KeyError
            Where there is no such hook; near names are suggested.
        ValueError
            Where it never fires on a thought, has no such heads, or moves nothing that comes later.
        """
        _check(model, self)


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

    Examples
    --------
    >>> KeysValues(layers=[0, 1]).label
    'kv (layers 0, 1)'
    """

    layers: tuple[int, ...] | None
    heads: tuple[int, ...] | None

    def __init__(self, layers: Indices | None = None, heads: Indices | None = None) -> None:
        object.__setattr__(self, "layers", None if layers is None else indices("layer", layers))
        object.__setattr__(self, "heads", None if heads is None else indices("head", heads))

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
        """Raise where a layer or head does not exist, or the model does not compute with it."""
        _check(model, self)


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

    Examples
    --------
    >>> Attention(heads=[3], queries=["thought 2", "eot"]).label
    'attention (heads 3; queries thought 2, eot)'
    """

    layers: tuple[int, ...] | None
    heads: tuple[int, ...] | None
    queries: tuple[str, ...] | None

    def __init__(
        self,
        layers: Indices | None = None,
        heads: Indices | None = None,
        queries: Iterable[str] | None = None,
    ) -> None:
        object.__setattr__(self, "layers", None if layers is None else indices("layer", layers))
        object.__setattr__(self, "heads", None if heads is None else indices("head", heads))
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

    def heads_in(self, model: ContinuousThoughtModel) -> list[Heads]:
        """Return its layers, each with one of the chosen heads or with None for all of them."""
        numbers = [None] if self.heads is None else selected("head", self.heads, model.n_heads)
        layers = selected("layer", self.layers, model.n_layers)
        return [(layer, head) for layer in layers for head in numbers]

    def check(self, model: ContinuousThoughtModel) -> None:
        """Raise where a layer, head or query does not exist, or its attention cannot be changed."""
        heads = self.heads_in(model)
        possible = [*(f"thought {i}" for i in range(1, model.n_thoughts)), "eot", "answer"]
        unknown = [query for query in self.queries or () if query not in possible]
        if unknown or self.queries == ():
            raise ValueError(
                f"queries are {list(self.queries or ())}; accepted: {', '.join(possible)}."
            )
        if fixed := unmasked(model, heads):
            named = [f"layer {layer}" + ("" if h is None else f", head {h}") for layer, h in fixed]
            raise ValueError(
                f"Attention to a thought cannot be taken away in {_few(named)} of {model.name}: "
                "whatever is done to scores and mask there, the pattern does not follow or nothing "
                f"that comes later moves. Sites that work: {_working(model)}."
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


def check_sites(model: ContinuousThoughtModel, sites: Sequence[Site]) -> None:
    """Raise where a site cannot be; what each would try by itself is tried in a few runs."""
    heads = [each for site in sites if isinstance(site, Attention) for each in site.heads_in(model)]
    if heads:
        unmasked(model, heads)
    hooks = [hook for site in sites for hook in site.hooks(model)]
    _check_activations(model, hooks)
    unheeded(model, _points(hooks))
    for site in sites:
        site.check(model)


def _check(model: ContinuousThoughtModel, site: Hook | KeysValues) -> None:
    """Raise where a site does not see one thought of each problem, or nothing follows from it."""
    hooks = site.hooks(model)
    _check_activations(model, hooks)
    if ignored := unheeded(model, _points(hooks)):
        raise ValueError(
            f"{model.name} cannot be intervened on at {_few(ignored)}: random numbers there move "
            "nothing that comes later, neither the thought's hidden state nor the next thought nor "
            "the logits. There this bridge shows what it does not compute with: the hook is "
            f"read-only, or nothing depends on it. Sites that work: {_working(model)}."
        )


def _points(hooks: Sequence[Hook]) -> list[Point]:
    return [Point(hook.name, head) for hook in hooks for head in hook.heads or [None]]


def _check_activations(model: ContinuousThoughtModel, hooks: Sequence[Hook]) -> None:
    """Raise where a hook does not see one thought of each problem."""
    over_keys = [hook.name for hook in hooks if hook.name.endswith(_OVER_KEYS)]
    if over_keys:
        raise ValueError(
            f"{over_keys[0]!r} runs over keys, whose number differs from problem to problem. Use "
            "the site Attention(layers, heads, queries) with the corruption KnockOut()."
        )
    seen = seen_on_thoughts(model, [hook.name for hook in hooks], _PROBES)
    for hook in hooks:
        _check_activation(hook, seen.get(hook.name))


def _check_activation(hook: Hook, activation: Tensor | None) -> None:
    """Raise where a hook does not see the vectors of one thought of each problem, or its heads."""
    if activation is None:
        raise ValueError(
            f"{hook.name!r} never fires on a thought: a thought is fed as a vector and passes "
            "no token embedding, and hooks that TransformerLens has switched off stay silent. "
            "Use 'input', 'hidden', 'kv' or a hook such as 'blocks.0.hook_out'."
        )
    if not activation.is_floating_point():
        raise ValueError(
            f"{hook.name!r} sees whole numbers ({activation.dtype}), such as positions, and "
            "corruptions replace vectors. Use 'input', 'hidden', 'kv' or a hook such as "
            "'blocks.0.hook_out'."
        )
    shape = tuple(activation.shape)
    one_each = shape[0] == _PROBES and (len(shape) == 2 or shape[1] == 1)
    if not one_each:
        raise ValueError(
            f"{hook.name!r} has the shape {shape} for {_PROBES} problems and one thought. "
            "Accepted are hooks of shape (batch, 1, ...), such as 'blocks.0.hook_out'."
        )
    if hook.heads is not None:
        if len(shape) != 4:
            raise ValueError(
                f"{hook.name!r} has the shape {shape}, which has no heads; leave heads out."
            )
        selected("head", hook.heads, shape[2])


def _working(model: ContinuousThoughtModel) -> str:
    """Return the names of sites at which a model can be intervened on."""
    middle = f"blocks.{model.n_layers // 2}"
    hooks = [f"{middle}.{name}" for name in ("hook_out", "attn.hook_z", "mlp.hook_out")]
    sites = [site for site in ("input", "hidden", "kv", *hooks) if _works(model, site)]
    return ", ".join(map(repr, sites))


def _works(model: ContinuousThoughtModel, name: str) -> bool:
    hooks = [hook.name for hook in as_site(name).hooks(model)]
    there = all(hook in model.bridge.hook_dict or hook in NAMES.values() for hook in hooks)
    return there and not unheeded(model, [Point(hook) for hook in hooks])


def _few(names: Sequence[object]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(map(str, names[:3])) + more


_PROBES = 2


def _in_brackets(**choices: tuple[object, ...] | None) -> str:
    named = [
        f"{name} {', '.join(map(str, values))}"
        for name, values in choices.items()
        if values is not None
    ]
    return f" ({'; '.join(named)})" if named else ""
