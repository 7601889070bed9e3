"""What runs: a bridge and its feedback, whose hooks are put on for a while and set aside."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial, wraps
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from transformer_lens.hook_points import HookPoint
from transformer_lens.model_bridge import TransformerBridge

from cot_attn.data.problem import Problem
from cot_attn.models._bridge import check_unprocessed, every_module
from cot_attn.models._hook_points import HookName, chosen_names, remove, set_aside
from cot_attn.models.feedback import Feedback
from cot_attn.models.layout import Layout
from cot_attn.models.rollout import Rollout
from cot_attn.models.run import Run
from cot_attn.models.stages import Stage, stage_set
from cot_attn.models.stopping import StopRule
from cot_attn.models.template import Template

HookFunction = Callable[..., Tensor | None]
Function = TypeVar("Function", bound=Callable[..., Any])


class HookedModel:
    """A bridge with a feedback, which runs token by token and thought by thought, under hooks.

    `ContinuousThoughtModel` is one that takes questions and gives answers.

    Parameters
    ----------
    bridge
        Any causal language model as a `TransformerBridge`; its hook names work everywhere.
    feedback
        How the last hidden state becomes the next input embedding.
    template
        The tokens round question, thoughts and answer.
    name
        What results call this model.
    """

    def __init__(
        self, bridge: TransformerBridge, feedback: Feedback, template: Template, name: str
    ) -> None:
        check_unprocessed(bridge)
        self.bridge = bridge
        self.feedback = feedback.to(device=self.device, dtype=self.dtype)
        self.template = template
        self.name = name
        self._stop: StopRule | None = None
        self.running: Rollout | None = None
        self.hooks_set_aside: tuple[str, ...] = ()
        self._watchers: list[Callable[[Run], None]] = []
        self._isolated = False

    @property
    def device(self) -> torch.device:
        """Where the input embeddings live."""
        device: torch.device = self._embedding_weight.device
        return device

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type of the input embeddings."""
        dtype: torch.dtype = self._embedding_weight.dtype
        return dtype

    @property
    def _embedding_weight(self) -> Tensor:
        weight: Tensor = self.bridge.original_model.get_input_embeddings().weight
        return weight

    @property
    def n_layers(self) -> int:
        """Number of transformer blocks."""
        return int(self.bridge.cfg.n_layers)

    @property
    def n_heads(self) -> int:
        """Number of attention (query) heads in a block."""
        return int(self.bridge.cfg.n_heads)

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return int(self.bridge.cfg.d_model)

    @property
    def d_kv(self) -> int:
        """Width of a layer's keys, all key-value heads together."""
        cfg = self.bridge.cfg
        n_heads = getattr(cfg, "n_key_value_heads", None) or cfg.n_heads
        return int(n_heads * cfg.d_head)

    @property
    def n_context(self) -> int:
        """The greatest number of positions, or a number out of reach where there is no limit."""
        limit = getattr(self.bridge.original_model.config, "max_position_embeddings", None)
        return int(limit) if limit else 2**31

    def rollout(
        self, problems: Sequence[Problem], questions: Sequence[Sequence[int]], n_thoughts: int
    ) -> Rollout:
        """Return one batch at its start, to be driven step by step."""
        check_unprocessed(self.bridge)
        _stop_training(self.bridge, self.bridge.original_model, self.feedback)
        return Rollout(self, problems, questions, n_thoughts, self._stop)

    # Hooks ------------------------------------------------------------------------------------

    @contextmanager
    def hooks(
        self,
        fwd_hooks: Iterable[tuple[HookName, HookFunction]],
        *,
        stages: Iterable[Stage] | None = None,
    ) -> Iterator["HookedModel"]:
        """Add TransformerLens hooks for as long as the context lasts.

        Parameters
        ----------
        fwd_hooks
            Pairs of a hook name (or a function that chooses names) and a function
            `fn(activation, hook)` that returns a new activation or None. Besides the bridge's
            names there are `feedback.hook_in` and `feedback.hook_out`. At one hook they are called
            in the order in which they were added, recorders included.
        stages
            The stages in which the functions are called; by default all. While a function runs,
            `model.running` says which problems, stage and columns it sees.

        What the library runs on its own account is left alone; see `isolated`.

        Raises
        ------
        KeyError
            Where a name is not a hook of this model; near names are suggested. Where a function
            chooses no name.
        TypeError
            Where `stages` are anything else than stages.
        ValueError
            Where a stage cannot be. At the end of the context, where the model has run and a
            function was never called, because no stage was reached or the hook is not passed there.

        Examples
        --------
        Feed zeros in the place of the third thought, which holds the result:

        >>> from cot_attn import ContinuousThoughtModel, Thought, load_problems
        >>> model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
        >>> problems = load_problems("toy", n=1, difficulties=[3])
        >>> zero = lambda fed, hook: 0 * fed
        >>> with model.hooks([("feedback.hook_out", zero)], stages=[Thought(2)]):
        ...     run = model.run(problems)
        >>> run.answers == model.generate(problems)
        False
        """
        chosen = None if stages is None else stage_set(stages)
        with ExitStack() as stack:
            silent = stack.enter_context(_attached(self, fwd_hooks, chosen))
            if not self._isolated:
                stack.enter_context(_none_in_vain(self, silent, chosen))
            yield self

    @contextmanager
    def watch(self, watcher: Callable[[Run], None]) -> Iterator[None]:
        """Call a function with the `Run` of every batch that ends while the context lasts.

        What the library runs on its own account is left out; see `isolated`.

        Examples
        --------
        >>> from cot_attn import ContinuousThoughtModel, load_problems
        >>> model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
        >>> runs = []
        >>> with model.watch(runs.append):
        ...     _ = model.run(load_problems("toy", n=5), batch_size=2)
        >>> [len(run.problems) for run in runs]
        [2, 2, 1]
        """
        self._watchers.append(watcher)
        try:
            yield
        finally:
            self._watchers.remove(watcher)

    @contextmanager
    def isolated(self) -> Iterator["HookedModel"]:
        """Set every hook and watcher aside for as long as the context lasts, then put all back.

        What the library runs on its own account (checks of sites, validation, baselines, variants
        and noise floors) runs in here: no recorder sees it, and no hook sees or changes it. A
        result says which weights it came from, and hooks are not part of them. Hooks that are
        added inside the context work.
        """
        outer = self._watchers, self._isolated, self.hooks_set_aside
        self._watchers, self._isolated = [], True
        try:
            with set_aside([*self.bridge.hook_points(), *self.feedback_points]) as names:
                self.hooks_set_aside += tuple(names)
                yield self
        finally:
            self._watchers, self._isolated, self.hooks_set_aside = outer

    @contextmanager
    def unstopped(self) -> Iterator["HookedModel"]:
        """Set the stop rule aside for as long as the context lasts.

        Where the library tries something out, on questions of its own, there have to be thoughts.
        """
        rule, self._stop = self._stop, None
        try:
            yield self
        finally:
            self._stop = rule

    @property
    def feedback_points(self) -> tuple[HookPoint, HookPoint]:
        """The hook points of the feedback; all others are the bridge's."""
        return (self.feedback.hook_in, self.feedback.hook_out)


def _stop_training(*modules: nn.Module) -> None:
    """Switch modules to evaluation; to look at all of them is quicker than to switch them again."""
    if any(each.training for each in every_module(*modules)):
        for module in modules:
            module.eval()


def on_its_own_account(function: Function) -> Function:
    """Make a function, whose first argument is a model, run it isolated from all hooks."""

    @wraps(function)
    def isolated(model: HookedModel, *args: Any, **kwargs: Any) -> Any:
        with model.isolated():
            return function(model, *args, **kwargs)

    return cast("Function", isolated)


def tell_of_hooks(model: HookedModel, what: str, stacklevel: int) -> None:
    """Warn where hooks have been set aside, so that nobody takes a result for one with them."""
    if names := model.hooks_set_aside:
        several = f" and {len(names) - 1} more" if len(names) > 1 else ""
        warnings.warn(
            f"There are hooks at {names[0]!r}{several}, a recorder's or your own. {what} runs "
            "without them: nothing in it is recorded or changed by them. To study a changed model, "
            "change its weights; to change a thought, give an Intervention.",
            stacklevel=stacklevel,
        )


@contextmanager
def _attached(
    model: HookedModel,
    fwd_hooks: Iterable[tuple[HookName, HookFunction]],
    stages: frozenset[Stage] | None,
) -> Iterator[dict[int, HookName]]:
    """Put functions on hook points for as long as the context lasts.

    Yields
    ------
    dict
        By number the names whose functions have not been called yet.

    Raises
    ------
    KeyError
        Where a name is not a hook of the model, or a function chooses none.
    """
    pairs = list(fwd_hooks)
    feedback = {str(point.name): point for point in model.feedback_points}
    # The bridge puts its dictionary of hooks together anew each time that it is asked.
    on_feedback_alone = all(isinstance(name, str) and name in feedback for name, _ in pairs)
    names = [*feedback] if on_feedback_alone else [*feedback, *model.bridge.hook_dict]
    silent = {number: name for number, (name, _) in enumerate(pairs)}
    with ExitStack() as stack:
        on_bridge = []
        for number, (name, function) in enumerate(pairs):
            chosen = chosen_names(name, names, model.name)
            called = partial(silent.pop, number, None)
            limited = partial(_in_stages, model, stages, called, function)
            for point in (feedback[each] for each in chosen & feedback.keys()):
                stack.callback(remove, point, point.add_hook(limited))
            if chosen - feedback.keys():
                on_bridge.append((name, limited))
        if on_bridge:
            stack.enter_context(model.bridge.hooks(fwd_hooks=on_bridge))
        yield silent


@contextmanager
def _none_in_vain(
    model: HookedModel,
    silent: Mapping[int, HookName],
    stages: frozenset[Stage] | None,
) -> Iterator[None]:
    """Raise at the end where runs finished and a function was never called.

    Without named stages, runs without thoughts are left out: much is not reached in them.
    """
    layouts: list[Layout] = []
    with model.watch(lambda run: layouts.append(run.layout)):
        yield
    layouts = [layout for layout in layouts if stages is not None or layout.n_thoughts]
    if not (layouts and silent):
        return
    thoughts = max(layout.n_thoughts for layout in layouts)
    words = max(length for layout in layouts for length in (*layout.answer_lengths, 0))
    limits = "" if stages is None else f" in {', '.join(sorted(map(str, stages)))}"
    raise ValueError(
        f"The function at {next(iter(silent.values()))!r} was never called{limits}. There were "
        f"{thoughts} thoughts, numbers 0 to {thoughts - 1}, and answers of {words} tokens at most, "
        "the last of which is not fed. A thought passes the feedback and the blocks but no token "
        "embedding; all else passes no feedback. Give a stage that is reached and a hook that is "
        "passed there."
    )


def _in_stages(
    model: HookedModel,
    stages: frozenset[Stage] | None,
    called: Callable[[], object],
    function: HookFunction,
    activation: Tensor,
    hook: Any,
) -> Tensor | None:
    """Call a hook's function in some stages only, and say that it was called."""
    if stages is not None and (model.running is None or model.running.stage not in stages):
        return None
    called()
    return function(activation, hook=hook)
