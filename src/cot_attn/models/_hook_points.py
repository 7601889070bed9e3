"""TransformerLens' hook points: which are meant, and the hooks on them taken off."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from transformer_lens.hook_points import HookPoint, LensHandle

from cot_attn._did_you_mean import did_you_mean

HookName = str | Callable[[str], bool]


def chosen_names(name: HookName, names: Sequence[str], model: str) -> set[str]:
    """Return the hooks that a name or a function chooses; raise where there is none."""
    argument: object = name  # a user may give anything
    if not (isinstance(argument, str) or callable(argument)):
        raise TypeError(
            f"A hook name is {argument!r}; give a name, or a function that takes a name and says "
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


def remove(point: HookPoint, handle: Any) -> None:
    """Take one hook off a hook point."""
    handle.hook.remove()
    point.fwd_hooks[:] = [each for each in point.fwd_hooks if each is not handle]


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
        if not (any(tables) or any(lists)):
            continue
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
        for point, kept_tables, kept_lists in kept:
            tables = (point._forward_hooks, point._forward_pre_hooks, point._backward_hooks)
            for table, hooks in zip(tables, kept_tables, strict=True):
                added = dict(table)
                table.clear()
                table.update({**hooks, **added})
            lists = (point.fwd_hooks, point.bwd_hooks)
            for handles, kept_handles in zip(lists, kept_lists, strict=True):
                handles[:] = kept_handles + [each for each in handles if not _is_wiring(each)]


def _is_wiring(handle: LensHandle) -> bool:
    """Whether the bridge itself put a hook there for good, by which it fills another point."""
    module = str(getattr(handle.user_hook, "__module__", ""))
    return handle.is_permanent and module.startswith("transformer_lens.model_bridge.")
