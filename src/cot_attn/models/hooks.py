"""Hooks of a model: put on for a while, limited to stages, and set aside."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial, wraps
from numbers import Integral
from typing import TYPE_CHECKING, Any, TypeVar, cast

from torch import Tensor
from transformer_lens.hook_points import HookPoint, LensHandle

from cot_attn._did_you_mean import did_you_mean
from cot_attn.models.stages import Answer, Close, Layout, Prompt, Stage, Thought

if TYPE_CHECKING:
    from cot_attn.models.continuous import ContinuousThoughtModel

HookFunction = Callable[..., Tensor | None]
HookName = str | Callable[[str], bool]
Function = TypeVar("Function", bound=Callable[..., Any])


@contextmanager
def attached(
    model: "ContinuousThoughtModel",
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
    names = [*feedback, *model.bridge.hook_dict]
    silent = {number: name for number, (name, _) in enumerate(pairs)}
    with ExitStack() as stack:
        on_bridge = []
        for number, (name, function) in enumerate(pairs):
            chosen = _chosen(name, names, model.name)
            called = partial(silent.pop, number, None)
            limited = _limited(model, function, stages, called)
            for own in chosen & feedback.keys():
                stack.callback(remove, feedback[own], feedback[own].add_hook(limited))
            if chosen - feedback.keys():
                on_bridge.append((name, limited))
        stack.enter_context(model.bridge.hooks(fwd_hooks=on_bridge))
        yield silent


@contextmanager
def none_in_vain(
    model: "ContinuousThoughtModel",
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


@contextmanager
def set_aside(points: Iterable[HookPoint]) -> Iterator[list[str]]:
    """Take every hook off hook points for as long as the context lasts, and put all back.

    They come back in their order, before any hook that was added in the meantime and stayed.

    Yields
    ------
    list
        Names of the points that had hooks.
    """
    # A point is in several lists: PyTorch's, which run its hooks, and TransformerLens' own, by
    # which it finds and removes them. Each is kept as an object, because handles refer to it.
    kept = []
    for point in points:
        tables = (point._forward_hooks, point._forward_pre_hooks, point._backward_hooks)
        lists = (point.fwd_hooks, point.bwd_hooks)
        wiring = [each for handles in lists for each in handles if _is_wiring(each)]
        stay = {handle.hook.id for handle in wiring}
        if len(wiring) == sum(map(len, lists)) and all(each.keys() <= stay for each in tables):
            continue
        kept.append((point, [dict(each) for each in tables], [list(each) for each in lists]))
        for table in tables:
            for number in table.keys() - stay:
                del table[number]
        for handles in lists:
            handles[:] = [each for each in handles if _is_wiring(each)]
    try:
        yield [str(point.name) for point, *_ in kept]
    finally:
        for point, own_tables, own_lists in kept:
            tables = (point._forward_hooks, point._forward_pre_hooks, point._backward_hooks)
            for table, hooks in zip(tables, own_tables, strict=True):
                added = dict(table)
                table.clear()
                table.update({**hooks, **added})
            for handles, own in zip((point.fwd_hooks, point.bwd_hooks), own_lists, strict=True):
                handles[:] = own + [each for each in handles if not _is_wiring(each)]


def _is_wiring(handle: LensHandle) -> bool:
    """Whether the bridge itself put a hook there for good, by which it fills another point."""
    module = str(getattr(handle.user_hook, "__module__", ""))
    return handle.is_permanent and module.startswith("transformer_lens.model_bridge.")


def on_its_own_account(function: Function) -> Function:
    """Make a function, whose first argument is a model, run it isolated from all hooks."""

    @wraps(function)
    def isolated(model: "ContinuousThoughtModel", *args: Any, **kwargs: Any) -> Any:
        with model.isolated():
            return function(model, *args, **kwargs)

    return cast("Function", isolated)


def tell_of_hooks(model: "ContinuousThoughtModel", what: str) -> None:
    """Warn where hooks have been set aside, so that nobody takes a result for one with them."""
    if names := model.hooks_set_aside:
        several = f" and {len(names) - 1} more" if len(names) > 1 else ""
        warnings.warn(
            f"There are hooks at {names[0]!r}{several}, a recorder's or your own. {what} runs "
            "without them: nothing in it is recorded or changed by them. To study a changed model, "
            "change its weights; to change a thought, give an Intervention.",
            stacklevel=6,
        )


def remove(point: HookPoint, handle: Any) -> None:
    """Take one hook off a hook point."""
    handle.hook.remove()
    point.fwd_hooks[:] = [each for each in point.fwd_hooks if each is not handle]


def checked(stages: Iterable[Stage]) -> frozenset[Stage]:
    """Return stages as a set, where each is one that a run can have.

    Raises
    ------
    TypeError
        Where something is not a stage.
    ValueError
        Where there is none, or an index is not a whole number from 0 on.
    """
    given: object = stages
    listed = list(stages) if isinstance(given, Iterable) else None
    if listed is None or not all(
        isinstance(stage, Prompt | Thought | Close | Answer) for stage in listed
    ):
        raise TypeError(
            f"stages is {given!r}; give a list of Prompt(), Thought(i), Close() and Answer(j), or "
            "None for all."
        )
    if not listed:
        raise ValueError("stages is empty, so nothing would be called. Give one, or None for all.")
    for stage in listed:
        if isinstance(stage, Thought | Answer):
            index: object = stage.index
            if isinstance(index, bool) or not isinstance(index, Integral) or index < 0:
                raise ValueError(
                    f"There is no stage {stage}: thoughts and answer tokens are counted from 0 on, "
                    "in whole numbers, and not from the end."
                )
    return frozenset(listed)


def _limited(
    model: "ContinuousThoughtModel",
    function: HookFunction,
    stages: frozenset[Stage] | None,
    called: Callable[[], object],
) -> HookFunction:
    """Return a function that is called in some stages only, and says that it was called."""

    def limited(activation: Tensor, hook: Any) -> Tensor | None:
        if stages is not None and (model.running is None or model.running.stage not in stages):
            return None
        called()
        return function(activation, hook=hook)

    return limited


def _chosen(name: HookName, names: Sequence[str], model: str) -> set[str]:
    """Return the hooks that a name or a function chooses; raise where there is none."""
    given: object = name
    if not (isinstance(given, str) or callable(given)):
        raise TypeError(
            f"A hook name is {given!r}; give a name, or a function that takes a name and says "
            "whether it is chosen."
        )
    if not isinstance(name, str):
        chosen = {each for each in names if name(each)}
        if not chosen:
            raise KeyError(
                f"The function {name!r} chooses none of the {len(names)} hooks of {model}. Their "
                f"names are those of model.bridge.hook_dict, such as {names[-1]!r}, and "
                "'feedback.hook_in' and 'feedback.hook_out'."
            )
        return chosen
    if name not in names:
        raise KeyError(f"{model} has no hook named {name!r}.{did_you_mean(name, names)}")
    return {name}
